import { type Hypercalls, ofStructure, type XenCall, type XenHypercall } from './call.ts'
import { eventChannelOp } from './events/event-channel-op.ts'
import { grantTableOp } from './memory/grant-table-op.ts'
import { Hypercall, XenErrno, XEN_MAJOR, XEN_MINOR, XenFeature } from './numbers.ts'
import { schedOp } from './vcpu/sched-op.ts'
import { Layout } from './layout.ts'
import { PAGE_BYTES } from '@retrap/memory'

/** The hypercalls that are equal on all architectures. */
export const COMMON_HYPERCALLS: Hypercalls = {
  [Hypercall.MULTICALL]: multicall,
  [Hypercall.XEN_VERSION]: xenVersion,
  [Hypercall.VM_ASSIST]: vmAssist,
  [Hypercall.EVENT_CHANNEL_OP]: eventChannelOp,
  [Hypercall.CONSOLE_IO]: consoleIo,
  [Hypercall.GRANT_TABLE_OP]: grantTableOp,
  [Hypercall.SCHED_OP]: schedOp,
}

const WRITE = 0
/** Bytes that are copied at a time, and count as one piece of work. */
const CHUNK = 128
const NEWLINE = 10
const TAB = 9

/**
 * `console_io`: command, bytes, pointer. Guests may write, if somebody listens: text, without what would make a terminal
 * do other things than show it.
 */
function consoleIo(call: XenCall): number {
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
 * `multicall`: pointer, count. Executes a list of calls, each with its own result. An interrupted call stores its progress in
 * the list.
 */
function multicall(call: XenCall): number {
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

/* VMASST_* (public/xen.h). */
const CMD_ENABLE = 0
const CMD_DISABLE = 1
const TYPE_RUNSTATE_UPDATE_FLAG = 5

/**
 * `vm_assist`: command, type. Of the types, hardware guests have the flag that marks runstate areas while they are
 * written: all vCPUs stand still meanwhile, so that none ever sees it.
 */
function vmAssist(call: XenCall): number {
  if (call.word(1) !== TYPE_RUNSTATE_UPDATE_FLAG) return XenErrno.INVAL
  const command = call.word(0)
  return command === CMD_ENABLE || command === CMD_DISABLE ? 0 : XenErrno.NOSYS
}

const FEATURE_INFO = new Layout({ submapIndex: 'u32', submap: 'u32' })

/** Text in a field of fixed length, zeros behind it. */
const text = (content: string, bytes: number): Uint8Array => {
  const field = new Uint8Array(bytes)
  field.set([...content].map((letter) => letter.charCodeAt(0)))
  return field
}

const give =
  (bytes: Uint8Array): XenHypercall =>
  (call) =>
    call.copyOut(call.argument(1), bytes) ? 0 : XenErrno.FAULT

/** Compiler, compiled by, domain and date. */
const COMPILE_INFO = new Uint8Array(144)
COMPILE_INFO.set(text('retrap', 64), 0)
COMPILE_INFO.set(text('retrap', 16), 64)
COMPILE_INFO.set(text('localdomain', 32), 80)

/** `XENVER_*`, by number (public header version.h). */
const OPERATIONS: readonly XenHypercall[] = [
  // version
  () => (XEN_MAJOR << 16) | XEN_MINOR,
  // extraversion
  give(text('.0-retrap', 16)),
  // compile_info
  give(COMPILE_INFO),
  // capabilities: the kinds of guests there can be
  (call) => give(text(call.xen.architecture.capabilities, 1024))(call),
  // changeset
  give(text('unavailable', 64)),
  // platform_parameters: where the hypervisor begins in the guest's address space, in which it has no part
  (call) => (call.writeElement('ulong', call.argument(1), 0, 0n) ? 0 : XenErrno.FAULT),
  // get_features
  ofStructure(FEATURE_INFO, ({ xen }, { submapIndex }) => {
    if (submapIndex !== 0) return XenErrno.INVAL
    return { submap: xen.architecture.features | (xen.hasPirqs ? 1 << XenFeature.HVM_PIRQS : 0) }
  }),
  // pagesize
  (call) => (call.argument(1) === 0n ? PAGE_BYTES : XenErrno.INVAL),
  // guest_handle
  (call) => (call.copyOut(call.argument(1), call.xen.handle) ? 0 : XenErrno.FAULT),
  // commandline: not for guests to know
  give(text('<denied>', 1024)),
  // build_id: neither
  () => XenErrno.PERM,
]

/** `xen_version`: command, pointer. */
function xenVersion(call: XenCall): number {
  return OPERATIONS[call.word(0)]?.(call) ?? XenErrno.NOSYS
}
