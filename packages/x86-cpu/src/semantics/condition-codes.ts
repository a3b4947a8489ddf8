/** Condition codes as in the low four bits of Jcc opcodes (SDM vol. 1, appendix B, "EFLAGS Condition Codes"). */
export const CC_O = 0
export const CC_B = 2
export const CC_E = 4
export const CC_BE = 6
export const CC_S = 8
export const CC_P = 10
export const CC_L = 12
export const CC_LE = 14
