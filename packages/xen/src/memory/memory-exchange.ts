import type { XenCall } from '../call.ts'
import { frameAt, MAX_ORDER, RESERVATION } from './memory-reservation.ts'
import { XenErrno } from '../numbers.ts'

/** One past the largest number of frames that a list can stand for. */
const TOO_MANY = 1n << 40n

/** `xen_memory_exchange`: two reservations, and how many extents of the first have been exchanged. */
function layout(compat: boolean): { readonly out: bigint; readonly exchanged: bigint } {
  const size = RESERVATION.size(compat)
  return { out: BigInt(size), exchanged: BigInt(2 * size) }
}

/**
 * `XENMEM_exchange`: takes RAM away at some guest frames and puts new RAM at others, in chunks of as many frames as the
 * larger of the two extents has. A chunk is exchanged whole or not at all.
 */
export function exchange(call: XenCall): number {
  const pointer = call.argument(1)
  const { out: outOffset, exchanged: at } = layout(call.compat)
  const from = call.read(RESERVATION, pointer)
  const to = call.read(RESERVATION, pointer + outOffset)
  const exchanged = call.readElement('ulong', pointer + at, 0)
  if (from === null || to === null || exchanged === null) return XenErrno.FAULT
  const finish = (result: number, done: number | bigint): number =>
    call.writeElement('ulong', pointer + at, 0, done) ? result : XenErrno.FAULT

  if (Math.max(from.order, to.order) > MAX_ORDER) return finish(XenErrno.PERM, exchanged)
  const frames = from.count << BigInt(from.order)
  if (
    BigInt(exchanged) > from.count ||
    from.domid !== to.domid ||
    frames >= TOO_MANY ||
    frames !== to.count << BigInt(to.order)
  ) {
    return finish(XenErrno.INVAL, exchanged)
  }
  const denied = call.xen.ownDomain(from.domid)
  if (denied !== 0) return finish(denied, exchanged)

  const chunk = 2 ** Math.max(from.order, to.order)
  const inPerChunk = chunk / 2 ** from.order
  const outPerChunk = chunk / 2 ** to.order
  const first = Math.floor(Number(exchanged) / inPerChunk)
  const chunks = Number(from.count) / inPerChunk
  for (let index = first; index < chunks; index++) {
    if (index !== first && call.shouldPreempt(2 * chunk)) {
      if (!call.writeElement('ulong', pointer + at, 0, index * inPerChunk)) return XenErrno.FAULT
      return call.preempt(0, call.argument(0))
    }
    const given = list(call, from.extents, index * inPerChunk, inPerChunk)
    const wanted = list(call, to.extents, index * outPerChunk, outPerChunk)
    const error =
      given === null || wanted === null
        ? XenErrno.FAULT
        : exchangeChunk(call, given, 2 ** from.order, wanted, 2 ** to.order)
    if (error !== 0) return finish(error, index * inPerChunk)
  }
  return finish(0, from.count)
}

function list(call: XenCall, pointer: bigint, index: number, count: number): number[] | null {
  const frames: number[] = []
  for (let i = 0; i < count; i++) {
    const frame = frameAt(call, pointer, index + i)
    if (frame < 0) return null
    frames.push(frame)
  }
  return frames
}

function exchangeChunk(
  call: XenCall,
  given: readonly number[],
  givenSize: number,
  wanted: readonly number[],
  wantedSize: number,
): number {
  const { memory } = call.xen
  const going = new Set<number>()
  for (const base of given) {
    for (let gfn = base; gfn < base + givenSize; gfn++) {
      // A frame can be given once.
      if (memory.ramAt(gfn) < 0 || going.has(gfn)) return XenErrno.INVAL
      going.add(gfn)
    }
  }
  const coming = new Set<number>()
  for (const base of wanted) {
    if (!memory.mayPopulate(base, wantedSize)) return XenErrno.INVAL
    for (let gfn = base; gfn < base + wantedSize; gfn++) coming.add(gfn)
  }
  if (!memory.hasRoom(wanted.length * wantedSize, wanted.length + given.length)) return XenErrno.NOMEM
  for (const gfn of going) if (!coming.has(gfn)) memory.remove(gfn, 1)
  for (const base of wanted) if (!memory.populate(base, wantedSize)) return XenErrno.NOMEM
  return 0
}
