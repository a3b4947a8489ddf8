import { P2mType, isForeign, isRam } from '@retrap/p2m'
import { ofStructure, type XenCall, type XenHypercall } from './call.ts'
import type { XenDomain } from './domain.ts'
import { HvmParameter } from './hvm-parameters.ts'
import { Layout } from './layout.ts'
import { XenErrno } from './numbers.ts'
import { systemTime } from './vcpu/vcpu-op.ts'
import type { EventUpcalls } from './events/upcalls.ts'
import { GUEST_FRAMES } from './guest-frames.ts'

const PARAMETER = new Layout({ domid: 'u16', pad: 'u16', index: 'u32', value: 'u64' })
const PAGETABLE_DYING = new Layout({ domid: 'u16', pad0: 'u16', pad1: 'u32', gpa: 'u64' })
const GET_TIME = new Layout({ now: 'u64' })
const XENTRACE = new Layout({ event: 'u16', extraBytes: 'u16' })
const GET_MEM_TYPE = new Layout({ domid: 'u16', type: 'u16', pad: 'u32', pfn: 'u64' })
const UPCALL_VECTOR = new Layout({ vcpu: 'u32', vector: 'u8' })

/** Bytes that a trace record may have beyond its number. */
const MOST_TRACE_BYTES = 28
const FIRST_VECTOR = 0x10

/** `HVMMEM_*`. */
const MEMORY_RAM = 0
const MEMORY_ROM = 1
const MEMORY_DEVICE = 2

type HvmOperations = Readonly<Partial<Record<number, XenHypercall>>>

/** `HVMOP_*` by number (public header hvm/hvm_op.h). Other numbers are the toolstack's, or gone: -ENOSYS. */
const COMMON: HvmOperations = {
  0: setParameter(() => undefined),
  // get_param
  1: ofStructure(PARAMETER, ({ xen }, { domid, index }) => {
    if (!xen.parameters.has(index)) return XenErrno.INVAL
    const denied = xen.ownDomain(domid) || xen.parameters.mayRead(index)
    return denied === 0 ? { value: xen.parameters.get(index) } : denied
  }),
  // guest_request_vm_event: nobody monitors the guest
  24: (call) => (call.argument(1) === 0n ? 0 : XenErrno.INVAL),
}

/** The part of a domain that the operations of x86 guests act on. */
interface X86Side {
  readonly domain: Pick<XenDomain, 'vcpus'>
  readonly upcalls: EventUpcalls
}

/** Operations that x86 guests have. */
const x86Operations = (x86: X86Side): HvmOperations => ({
  ...COMMON,
  0: setParameter((call, index, value) => {
    if (index !== HvmParameter.CALLBACK_IRQ) return
    x86.upcalls.setCallback(Number(value & 0xffff_ffffn), Number(value >> 32n))
    call.xen.events.info.latch(!call.compat)
  }),
  // flush_tlbs
  5: (call) => {
    if (call.argument(1) !== 0n) return XenErrno.INVAL
    for (const { cpu } of x86.domain.vcpus) cpu.flushTlb(true)
    return 0
  },
  // pagetable_dying: a hint for shadow page tables, which are not used
  9: ofStructure(PAGETABLE_DYING, ({ xen }, { domid }) => xen.ownDomain(domid) || XenErrno.INVAL),
  // get_time
  10: (call) => {
    const now = systemTime(call.domain.clock)
    return call.write(GET_TIME, call.argument(1), { now }) ? 0 : XenErrno.FAULT
  },
  // xentrace: nobody takes the record
  11: ofStructure(XENTRACE, (_call, { extraBytes }) => (extraBytes > MOST_TRACE_BYTES ? XenErrno.INVAL : 0)),
  // get_mem_type
  15: ofStructure(GET_MEM_TYPE, ({ xen }, { domid, pfn }) => {
    const denied = xen.ownDomain(domid)
    if (denied !== 0) return denied
    return { type: pfn < GUEST_FRAMES ? memoryType(xen.memory.typeAt(Number(pfn))) : MEMORY_DEVICE }
  }),
  // set_evtchn_upcall_vector
  23: ofStructure(UPCALL_VECTOR, (_call, request) => {
    if (request.vector < FIRST_VECTOR) return XenErrno.INVAL
    if (request.vcpu >= x86.domain.vcpus.length) return XenErrno.NOENT
    x86.upcalls.setVector(request.vcpu, request.vector)
    return 0
  }),
  // altp2m
  25: () => XenErrno.OPNOTSUPP,
})

/** @param applied - is notified of a parameter that has been set */
function setParameter(applied: (call: XenCall, index: number, value: bigint) => void): XenHypercall {
  return ofStructure(PARAMETER, (call, { domid, index, value }) => {
    const { xen } = call
    if (!xen.parameters.has(index)) return XenErrno.INVAL
    const denied = xen.ownDomain(domid) || xen.parameters.mayWrite(index, value)
    if (denied !== 0) return denied
    xen.parameters.set(index, value)
    applied(call, index, value)
    return 0
  })
}

function memoryType(type: number): number {
  if (type === P2mType.RAM_RO || type === P2mType.GRANT_MAP_RO) return MEMORY_ROM
  return isRam(type) || isForeign(type) ? MEMORY_RAM : MEMORY_DEVICE
}

/** `hvm_op` of Arm guests: command, pointer. */
export const armHvmOp: XenHypercall = (call) => COMMON[call.word(0)]?.(call) ?? XenErrno.NOSYS

/** `hvm_op` of x86 guests. */
export function x86HvmOp(x86: X86Side): XenHypercall {
  const operations = x86Operations(x86)
  return (call) => operations[call.word(0)]?.(call) ?? XenErrno.NOSYS
}
