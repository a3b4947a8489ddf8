export { ArgumentChecks, describeArgument, hasMethods } from './arguments.ts'
export { concatenate, crc32 } from './bytes.ts'
export { FOUR_GIB, GIB, KIB, MIB, TWO_32 } from './units.ts'
