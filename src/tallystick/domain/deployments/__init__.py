"""What runs and is paid by time: deployments, their hardware and limits, fine-tuning jobs."""
