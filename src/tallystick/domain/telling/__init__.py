"""Telling people and programs in time: facts, banners, mails, webhooks."""
