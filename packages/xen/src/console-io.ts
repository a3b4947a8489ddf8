import type { XenCall } from './call.ts'
import { XenErrno } from './numbers.ts'

const WRITE = 0
/** Bytes that are copied at a time, and count as one piece of work. */
const CHUNK = 128
const NEWLINE = 10
const TAB = 9

/**
 * `console_io`: command, bytes, pointer. Guests may write, if somebody listens: text, without what would make a terminal
 * do other things than show it.
 */
export function consoleIo(call: XenCall): number {
  const { console } = call.xen
  if (call.word(0) !== WRITE || console === undefined) return XenErrno.PERM
  const chunk = new Uint8Array(CHUNK)
  let left = call.word(1)
  let pointer = call.argument(2)
  while (left > 0) {
    const length = Math.min(left, CHUNK)
    if (!call.copyIn(pointer, chunk, length)) return XenErrno.FAULT
    const text = chunk.subarray(0, length).filter(isText)
    if (text.length > 0) console(text)
    left -= length
    pointer += BigInt(length)
    if (left > 0 && call.shouldPreempt(length / 4)) {
      call.setArgument(2, pointer)
      return call.preempt(1, left)
    }
  }
  return 0
}

function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === NEWLINE || byte === TAB
}
