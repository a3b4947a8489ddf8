/** Operations of a `Mailbox`'s calls, which the domain's thread performs for a vCPU's, at once. */
export const ROM_WRITE = 0
export const RAM_ADDRESS = 1
export const SECOND_LEVEL_FAULT = 2
export const RESOLVED_WRITE = 3
export const TABLE_WRITE = 4
export const READ_MSR = 5
export const WRITE_MSR = 6
export const CPUID = 7
export const ACKNOWLEDGE_PIC = 8
export const END_OF_INTERRUPT = 9
export const RETRY_INTERRUPTS = 10
export const NUMERIC_ERROR = 11
export const HYPERCALL = 12
export const CANCEL = 13
