import type { XenCall, XenHypercall } from '../call.ts'
import { Layout } from '../layout.ts'
import { Domid, XenErrno } from '../numbers.ts'

const EOI = new Layout({ irq: 'u32' })
const STATUS_QUERY = new Layout({ irq: 'u32', flags: 'u32' })
const MAP_PIRQ = new Layout({
  domid: 'u16',
  type: 'i32',
  index: 'i32',
  pirq: 'i32',
  bus: 'i32',
  devfn: 'i32',
  entry: 'i32',
  tableBase: 'u64',
})
const UNMAP_PIRQ = new Layout({ domid: 'u16', pirq: 'i32' })
const FREE_PIRQ = new Layout({ type: 'i32', pirq: 'u32' })

const TYPE_GSI = 1
/** `XENIRQSTAT_needs_eoi`. */
const NEEDS_EOI = 1

/** `PHYSDEVOP_*` that hardware guests have, by number (public header physdev.h). */
const OPERATIONS: Readonly<Partial<Record<number, XenHypercall>>> = {
  // irq_status_query
  5: (call) => {
    const request = call.read(STATUS_QUERY, call.argument(1))
    if (request === null) return XenErrno.FAULT
    if (!call.xen.pirqs.isMapped(request.irq)) return XenErrno.INVAL
    return call.write(STATUS_QUERY, call.argument(1), { flags: NEEDS_EOI }) ? 0 : XenErrno.FAULT
  },
  // eoi
  12: (call) => {
    const request = call.read(EOI, call.argument(1))
    if (request === null) return XenErrno.FAULT
    if (!call.xen.pirqs.exists(request.irq)) return XenErrno.INVAL
    call.xen.pirqs.endOfInterrupt(request.irq)
    return 0
  },
  // map_pirq
  13: (call) => {
    const request = call.read(MAP_PIRQ, call.argument(1))
    if (request === null) return XenErrno.FAULT
    const denied = self(call, request.domid)
    if (denied !== 0) return denied
    // MSI messages contain their pirq number.
    if (request.type !== TYPE_GSI) return XenErrno.INVAL
    const pirq = call.xen.pirqs.mapGsi(request.index, request.pirq)
    if (pirq < 0) return pirq
    return call.write(MAP_PIRQ, call.argument(1), { pirq }) ? 0 : XenErrno.FAULT
  },
  // unmap_pirq
  14: (call) => {
    const request = call.read(UNMAP_PIRQ, call.argument(1))
    if (request === null) return XenErrno.FAULT
    const denied = self(call, request.domid)
    if (denied === 0) call.xen.pirqs.unmap(request.pirq)
    return denied
  },
  // get_free_pirq
  23: (call) => {
    const request = call.read(FREE_PIRQ, call.argument(1))
    if (request === null) return XenErrno.FAULT
    const pirq = call.xen.pirqs.reserve(request.type)
    if (pirq < 0) return pirq
    return call.write(FREE_PIRQ, call.argument(1), { pirq }) ? 0 : XenErrno.FAULT
  },
}

/** A guest may make the call for DOMID_SELF alone: by number it is a toolstack's call. */
function self(call: XenCall, domid: number): number {
  if (domid === Domid.SELF) return 0
  return call.xen.ownDomain(domid) || XenErrno.PERM
}

/** `physdev_op`: command, pointer. Without XENFEAT_hvm_pirqs, unknown. */
export function physdevOp(call: XenCall): number {
  return call.xen.hasPirqs ? (OPERATIONS[call.word(0)]?.(call) ?? XenErrno.NOSYS) : XenErrno.NOSYS
}
