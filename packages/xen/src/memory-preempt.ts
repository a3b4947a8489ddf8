import type { XenCall } from './call.ts'

/** The command is in bits 5:0 of memory_op's first argument; how much of it is done, in those above. */
const COMMAND_BITS = 6n
const COMMAND_MASK = (1n << COMMAND_BITS) - 1n
const MOST = 0xffff_ffffn

/** `XENMEM_*`. */
export function memoryCommand(call: XenCall): number {
  return Number(call.argument(0) & COMMAND_MASK)
}

/** How much of the command is done: extents, pages. */
export function memoryStart(call: XenCall): number {
  const start = call.argument(0) >> COMMAND_BITS
  return Number(start > MOST ? MOST : start)
}

/** Goes on with a command later. @param start - how much of it will be done then */
export function preemptAt(call: XenCall, start: number): number {
  return call.preempt(0, BigInt(memoryCommand(call)) | (BigInt(start) << COMMAND_BITS))
}
