export { ArgumentChecks, describeArgument, hasMethods } from './arguments.ts'
export { FOUR_GIB, GIB, KIB, MIB, TWO_32 } from './units.ts'
