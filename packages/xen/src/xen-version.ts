import { PAGE_BYTES } from '@retrap/memory'
import type { XenCall, XenHypercall } from './call.ts'
import { Layout } from './layout.ts'
import { XEN_MAJOR, XEN_MINOR, XenErrno, XenFeature } from './numbers.ts'

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
  (call) => {
    const info = call.read(FEATURE_INFO, call.argument(1))
    if (info === null) return XenErrno.FAULT
    if (info.submapIndex !== 0) return XenErrno.INVAL
    const submap = call.xen.architecture.features | (call.xen.hasPirqs ? 1 << XenFeature.HVM_PIRQS : 0)
    return call.write(FEATURE_INFO, call.argument(1), { submap }) ? 0 : XenErrno.FAULT
  },
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
export function xenVersion(call: XenCall): number {
  return OPERATIONS[call.word(0)]?.(call) ?? XenErrno.NOSYS
}
