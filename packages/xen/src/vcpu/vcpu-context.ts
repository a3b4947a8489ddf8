import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE } from '@retrap/x86-cpu'
import type { InitialCpuState, Vcpu } from '@retrap/x86-cpu'
import type { XenCall } from '../call.ts'
import { Layout } from '../layout.ts'
import { XenErrno } from '../numbers.ts'

/* struct vcpu_hvm_context (public/hvm/hvm_vcpu.h): a mode, padding, and one of two sets of registers. */

const HEAD = new Layout({ mode: 'u32', pad: 'u32' })
const HEAD_BYTES = 8n
const MODE_32 = 0
const MODE_64 = 1

const CONTEXT_32 = new Layout({
  eax: 'u32',
  ecx: 'u32',
  edx: 'u32',
  ebx: 'u32',
  esp: 'u32',
  ebp: 'u32',
  esi: 'u32',
  edi: 'u32',
  eip: 'u32',
  eflags: 'u32',
  cr0: 'u32',
  cr3: 'u32',
  cr4: 'u32',
  pad1: 'u32',
  efer: 'u64',
  csBase: 'u32',
  dsBase: 'u32',
  ssBase: 'u32',
  esBase: 'u32',
  trBase: 'u32',
  csLimit: 'u32',
  dsLimit: 'u32',
  ssLimit: 'u32',
  esLimit: 'u32',
  trLimit: 'u32',
  csRights: 'u16',
  dsRights: 'u16',
  ssRights: 'u16',
  esRights: 'u16',
  trRights: 'u16',
  pad2: 'u16',
  pad3: 'u16',
  pad4: 'u16',
})

const CONTEXT_64 = new Layout({
  rax: 'u64',
  rcx: 'u64',
  rdx: 'u64',
  rbx: 'u64',
  rsp: 'u64',
  rbp: 'u64',
  rsi: 'u64',
  rdi: 'u64',
  rip: 'u64',
  rflags: 'u64',
  cr0: 'u64',
  cr3: 'u64',
  cr4: 'u64',
  efer: 'u64',
})

/* Access rights as this structure has them: bits 7:0 as in a descriptor, AVL L D/B G in bits 11:8. */
const PRESENT = 0x80
const CODE_OR_DATA = 0x10
const CODE = 0x08
const WRITABLE = 0x02
const UNUSED_RIGHTS = 0xf000
const FLAT_CODE_64 = 0xa09b
const FLAT_DATA = 0xc093
const BUSY_TSS = 0x8b

const EFER_KNOWN = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE

/** The state that a vCPU is to start with. */
export interface VcpuContext {
  readonly state: InitialCpuState
  /** RAX RCX RDX RBX RSP RBP RSI RDI. */
  readonly registers: readonly bigint[]
  readonly rip: bigint
}

/** Sets a vCPU's initial registers. */
export function loadContext(cpu: Vcpu, { state, registers, rip }: VcpuContext): void {
  cpu.load(state)
  for (const [i, value] of registers.entries()) cpu.registers.general[i] = value
  cpu.registers.rip = rip
}

/** Reads what VCPUOP_initialise points to. @returns a negative error for a bad pointer, or for what no vCPU can start with */
export function readContext(call: XenCall, pointer: bigint): VcpuContext | number {
  const head = call.read(HEAD, pointer)
  if (head === null) return XenErrno.FAULT
  if (head.pad !== 0) return XenErrno.INVAL
  if (head.mode === MODE_32) return read32(call, pointer + HEAD_BYTES)
  return head.mode === MODE_64 ? read64(call, pointer + HEAD_BYTES) : XenErrno.INVAL
}

function read32(call: XenCall, pointer: bigint): VcpuContext | number {
  const c = call.read(CONTEXT_32, pointer)
  if (c === null) return XenErrno.FAULT
  const rights = [c.csRights, c.dsRights, c.ssRights, c.esRights, c.trRights]
  if ((c.pad1 | c.pad2 | c.pad3 | c.pad4) !== 0 || rights.some((each) => (each & UNUSED_RIGHTS) !== 0))
    return XenErrno.INVAL
  const code = PRESENT | CODE_OR_DATA | CODE
  const stack = PRESENT | CODE_OR_DATA | WRITABLE
  const data = (each: number): boolean => (each & PRESENT) === 0 || (each & CODE_OR_DATA) !== 0
  const segments =
    (c.csRights & code) === code &&
    (c.ssRights & (stack | CODE)) === stack &&
    data(c.dsRights) &&
    data(c.esRights) &&
    (c.trRights & (PRESENT | CODE_OR_DATA)) === PRESENT
  if (!segments || !validControl(c.cr0, c.cr4, Number(c.efer & 0xffff_ffffn), c.efer >> 32n)) return XenErrno.INVAL
  const segment = (base: number, limit: number, rights: number) => ({
    selector: 0,
    base,
    limit,
    attributes: (rights & 0xff) | ((rights & 0xf00) << 4),
  })
  const data0 = segment(0, 0, 0)
  const state: InitialCpuState = {
    registers: { rflags: c.eflags },
    segments: {
      cs: segment(c.csBase, c.csLimit, c.csRights),
      ds: segment(c.dsBase, c.dsLimit, c.dsRights),
      ss: segment(c.ssBase, c.ssLimit, c.ssRights),
      es: segment(c.esBase, c.esLimit, c.esRights),
      fs: data0,
      gs: data0,
      ldtr: { ...data0, attributes: 0 },
      tr: segment(c.trBase, c.trLimit, c.trRights),
    },
    ...TABLES,
    cr0: c.cr0,
    cr3: c.cr3,
    cr4: c.cr4,
    efer: Number(c.efer),
  }
  const registers = [c.eax, c.ecx, c.edx, c.ebx, c.esp, c.ebp, c.esi, c.edi].map(BigInt)
  return { state, registers, rip: BigInt(c.eip) }
}

function read64(call: XenCall, pointer: bigint): VcpuContext | number {
  const c = call.read(CONTEXT_64, pointer)
  if (c === null) return XenErrno.FAULT
  const high = (c.cr0 >> 32n) | (c.cr4 >> 32n) | (c.efer >> 32n) | (c.rflags >> 32n) | (c.cr3 >> 52n)
  const efer = Number(c.efer & 0xffff_ffffn)
  const cr0 = Number(c.cr0 & 0xffff_ffffn)
  const cr4 = Number(c.cr4 & 0xffff_ffffn)
  const long = (efer & EFER_LMA) !== 0 && (cr0 & CR0_PG) !== 0
  if (!long || !validControl(cr0, cr4, efer, high)) return XenErrno.INVAL
  const flat = { selector: 0, base: 0, limit: 0xffff_ffff, attributes: FLAT_DATA }
  const state: InitialCpuState = {
    registers: { rflags: Number(c.rflags) },
    segments: {
      cs: { ...flat, attributes: FLAT_CODE_64 },
      ds: flat,
      ss: flat,
      es: flat,
      fs: flat,
      gs: flat,
      ldtr: { selector: 0, base: 0, limit: 0, attributes: 0 },
      tr: { selector: 0, base: 0, limit: 0x67, attributes: BUSY_TSS },
    },
    ...TABLES,
    cr0,
    cr3: Number(c.cr3),
    cr4,
    efer,
  }
  return { state, registers: [c.rax, c.rcx, c.rdx, c.rbx, c.rsp, c.rbp, c.rsi, c.rdi], rip: c.rip }
}

const TABLES = { gdtr: { base: 0, limit: 0 }, idtr: { base: 0, limit: 0 } }

/** Whether control registers can be so together (SDM vol. 3A, "Control Registers"). */
function validControl(cr0: number, cr4: number, efer: number, high: bigint): boolean {
  const paging = (cr0 & CR0_PG) !== 0
  const long = (efer & EFER_LME) !== 0
  return (
    high === 0n &&
    (efer & ~EFER_KNOWN) === 0 &&
    (!paging || (cr0 & CR0_PE) !== 0) &&
    (!(paging && long) || (cr4 & CR4_PAE) !== 0) &&
    ((efer & EFER_LMA) !== 0) === (paging && long)
  )
}
