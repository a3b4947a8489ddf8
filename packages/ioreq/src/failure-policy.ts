/** What a domain does about a model that breaks its contract: it ends, or the model does. */
export type FailurePolicy = 'crash' | 'detach'
