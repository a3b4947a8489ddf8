export { ArgumentChecks, describeArgument, hasMethods } from './arguments.ts'
export { GIB, KIB, MIB, TWO_32 } from './units.ts'
