import type { XenCall } from './call.ts'
import { Layout } from './layout.ts'
import { XenErrno } from './numbers.ts'

const ARGUMENTS = 6
const ENTRY = new Layout({
  number: 'ulong',
  result: 'ulong',
  a0: 'ulong',
  a1: 'ulong',
  a2: 'ulong',
  a3: 'ulong',
  a4: 'ulong',
  a5: 'ulong',
})

/**
 * `multicall`: pointer, count. Makes the calls of a list one after the other, each with a result of its own. A call that is cut
 * in two is kept in the list, as far as it has come.
 */
export function multicall(call: XenCall): number {
  if (call.nested) return XenErrno.INVAL
  const inner = call.inner()
  const size = BigInt(ENTRY.size(call.compat))
  const list = call.argument(0)
  const count = call.word(1)
  const goOn = (done: number): number => {
    call.setArgument(1, count - done)
    return call.preempt(0, list + BigInt(done) * size)
  }
  for (let i = 0; i < count; i++) {
    const entry = call.read(ENTRY, list, i)
    if (entry === null) return XenErrno.FAULT
    const { number, a0, a1, a2, a3, a4, a5 } = entry
    inner.take(call.compat, number, [a0, a1, a2, a3, a4, a5])
    const result = inner.answer()
    if (inner.preempted) {
      const kept = Object.fromEntries(Array.from({ length: ARGUMENTS }, (_, n) => [`a${n}`, inner.argument(n)]))
      return call.write(ENTRY, list, { number: BigInt(inner.number), ...kept }, i) ? goOn(i) : XenErrno.FAULT
    }
    if (!call.write(ENTRY, list, { result: BigInt(result) }, i)) return XenErrno.FAULT
    if (i + 1 < count && call.shouldPreempt(1)) return goOn(i + 1)
  }
  return 0
}
