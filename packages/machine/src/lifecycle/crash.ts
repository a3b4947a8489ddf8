import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { CS, MODE_64 } from '@retrap/x86-cpu'

/** The known facts of a crash: for people. */
export interface CrashDetail {
  /** The event, as a sentence. */
  readonly message: string
  /** Number of the vCPU; absent if no vCPU caused the crash. */
  readonly vcpu?: number
  /** Registers by the names of the manuals, in the order to print them. */
  readonly registers?: Readonly<Record<string, bigint>>
  /** The instruction that crashed. */
  readonly instruction?: { readonly address: bigint; readonly bytes: Uint8Array; readonly mode: 16 | 32 | 64 }
}

const NAMES = [
  'RAX',
  'RCX',
  'RDX',
  'RBX',
  'RSP',
  'RBP',
  'RSI',
  'RDI',
  'R8',
  'R9',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
]
const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS']

/** Returns the linear address of the next instruction. */
export function linearAddress({ cpu: { registers } }: X86Vcpu): bigint {
  const address = registers.segmentBase(CS) + registers.rip
  return BigInt.asUintN(registers.mode === MODE_64 ? 64 : 32, address)
}

/** Describes why a vCPU stops before an x87 instruction. */
export function standstill(vcpu: number): string {
  return (
    `vCPU ${vcpu} stands still: an x87 exception is pending, CR0.NE is clear, and interrupt 13 (FERR#) is off. ` +
    'FNINIT masks x87 exceptions'
  )
}

/** Says that a page table for an address is in a device, or nowhere; empty where all are in memory. */
function tableOutside({ dispatch }: X86Domain, { translation }: X86Vcpu, address: bigint): string {
  const gpa = translation.tableOutside(address)
  if (gpa < 0) return ''
  const device = dispatch.deviceAt(gpa)
  const where = device === '' ? 'in no memory' : `in the device ${device}`
  return `. The page-table entry at 0x${gpa.toString(16)} is ${where}, where it counts as not present: expected page tables in RAM or ROM`
}

/** Registers and the current instruction of a vCPU. */
export function describeCrash(domain: X86Domain, vcpu: number, message: string): CrashDetail {
  const hvm = domain.vcpus[vcpu]
  if (hvm === undefined) return { message, vcpu }
  const { cpu } = hvm
  const state = cpu.registers
  const registers: Record<string, bigint> = { RIP: state.rip, RFLAGS: BigInt(cpu.materialiseFlags() >>> 0) }
  for (const [i, name] of NAMES.entries()) registers[name] = state.general[i]!
  for (const [i, name] of SEGMENT_NAMES.entries()) registers[name] = BigInt(state.selector(i))
  registers['CR0'] = BigInt(state.cr0)
  registers['CR2'] = state.cr2
  registers['CR3'] = state.cr3
  registers['CR4'] = BigInt(state.cr4)
  registers['EFER'] = BigInt(state.efer)
  const mode = ([16, 32, 64] as const)[state.mode] ?? 16
  const address = linearAddress(hvm)
  const bytes = hvm.translation.peekCode(address, 15)
  const found = `${message}${tableOutside(domain, hvm, address)}`
  return { message: found, vcpu, registers, instruction: { address, bytes, mode } }
}
