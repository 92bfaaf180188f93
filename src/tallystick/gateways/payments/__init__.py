"""Payment providers: who gets the money that is owed; `domain.billing.payments.Provider` is what each can do."""
