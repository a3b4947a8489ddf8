import { S_DATA } from './state-layout.ts'

/** What generated code delivers, in the area of data that an access has there: vector, error code, and `EVENT_*` bits. */
export const EVENT_VECTOR: number = S_DATA
export const EVENT_ERROR: number = S_DATA + 4
export const EVENT_FLAGS: number = S_DATA + 8

/** Bit of {@link EVENT_FLAGS}: an error code is pushed. */
export const EVENT_HAS_ERROR = 1
/** Bit of {@link EVENT_FLAGS}: RF in the pushed image of RFLAGS is set. */
export const EVENT_RESUMES = 2
