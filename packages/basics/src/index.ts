export { ArgumentChecks, describeArgument, hasMethods } from './arguments.ts'
export { concatenate } from './bytes.ts'
export { crc32 } from './crc32.ts'
export { FOUR_GIB, GIB, KIB, MIB, TWO_32 } from './units.ts'
