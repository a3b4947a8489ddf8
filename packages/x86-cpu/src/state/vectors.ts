/** Exception vectors (Intel SDM vol. 3A, "Protected-Mode Exceptions and Interrupts"). */
export const VECTOR_DE = 0
export const VECTOR_DB = 1
export const VECTOR_BP = 3
export const VECTOR_OF = 4
export const VECTOR_BR = 5
export const VECTOR_UD = 6
export const VECTOR_NM = 7
export const VECTOR_DF = 8
export const VECTOR_TS = 10
export const VECTOR_NP = 11
export const VECTOR_SS = 12
export const VECTOR_GP = 13
export const VECTOR_PF = 14
export const VECTOR_MF = 16
export const VECTOR_AC = 17
export const VECTOR_XM = 19
