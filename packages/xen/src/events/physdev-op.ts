import { ofStructure, type XenCall, type XenHypercall } from '../call.ts'
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
  5: ofStructure(STATUS_QUERY, ({ xen: { pirqs } }, { irq }) =>
    pirqs.isMapped(irq) ? { flags: NEEDS_EOI } : XenErrno.INVAL,
  ),
  // eoi
  12: ofStructure(EOI, ({ xen: { pirqs } }, { irq }) => {
    if (!pirqs.exists(irq)) return XenErrno.INVAL
    pirqs.endOfInterrupt(irq)
    return 0
  }),
  // map_pirq
  13: ofStructure(MAP_PIRQ, (call, request) => {
    const denied = self(call, request.domid)
    if (denied !== 0) return denied
    // MSI messages contain their pirq number.
    if (request.type !== TYPE_GSI) return XenErrno.INVAL
    const pirq = call.xen.pirqs.mapGsi(request.index, request.pirq)
    return pirq < 0 ? pirq : { pirq }
  }),
  // unmap_pirq
  14: ofStructure(UNMAP_PIRQ, (call, request) => {
    const denied = self(call, request.domid)
    if (denied === 0) call.xen.pirqs.unmap(request.pirq)
    return denied
  }),
  // get_free_pirq
  23: ofStructure(FREE_PIRQ, (call, request) => {
    const pirq = call.xen.pirqs.reserve(request.type)
    return pirq < 0 ? pirq : { pirq }
  }),
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
