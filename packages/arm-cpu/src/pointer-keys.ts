/** Keys of pointer authentication, in the order of the state: for code and data, and the generic one. */
export type KeyName = 'IA' | 'IB' | 'DA' | 'DB' | 'GA'

/** All keys. The first four can be disabled. */
export const KEYS: readonly KeyName[] = ['IA', 'IB', 'DA', 'DB', 'GA']
