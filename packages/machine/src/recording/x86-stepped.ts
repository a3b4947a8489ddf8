import type { X86Vcpu } from '@retrap/hvm'
import { decode, type DecodedInstruction } from '@retrap/x86-decoder'
import { CS, type CpuRegisters, MODE_32, MODE_64 } from '@retrap/x86-cpu'
import { pageTablesOf, stackPointer, wordBytesOf } from '../lifecycle/call-stack.ts'
import { linearAddress } from '../lifecycle/crash.ts'
import type { Caller, Place, SteppedCode } from './call-steps.ts'

const LONGEST_INSTRUCTION = 15
const SHORTEST_CALL = 2
/** Stack that is searched for a return address, and return addresses that are tried. */
const SEARCHED_BYTES = 16_384
const MOST_CALLERS = 32
const RING_3 = 3
/** EFLAGS of an interrupt's frame: bit 1 is always set, and none above these. */
const FLAGS_SET = 2n
const FLAGS_END = 1n << 22n

/** The code of a PC's vCPU, for steps over calls. */
export const x86Stepped = (vcpu: X86Vcpu): SteppedCode => ({
  get place() {
    return placeOf(vcpu)
  },
  get callBytes() {
    const next = decodedAt(vcpu, linearAddress(vcpu))
    return isCall(next) ? next.length : 0
  },
  get returning() {
    const { info, operands, mnemonic } = decodedAt(vcpu, linearAddress(vcpu))
    if (info.flow !== 'return') return undefined
    const [popped] = operands
    return { popped: popped?.kind === 'immediate' ? popped.value : 0n, isFromInterrupt: mnemonic.startsWith('IRET') }
  },
  get callers() {
    return callersOnStack(vcpu)
  },
  callsBefore: (address) => callsBefore(vcpu, address),
  /** A trace on the same vCPU receives these events as well. */
  watchEvents(told) {
    const { cpu } = vcpu
    const { watching } = cpu
    cpu.watch({
      instruction: watching?.instruction,
      event: (event) => {
        watching?.event?.(event)
        told(event.vector)
      },
    })
    return { remove: () => cpu.watch(watching) }
  },
})

function placeOf(vcpu: X86Vcpu): Place {
  const { registers } = vcpu.cpu
  const tables = registers.cpl === RING_3 ? pageTablesOf(registers) : undefined
  return { address: linearAddress(vcpu), stack: stackPointer(registers), tables }
}

const modeOf = ({ mode }: CpuRegisters): 16 | 32 | 64 => (mode === MODE_64 ? 64 : mode === MODE_32 ? 32 : 16)

function decodedAt(vcpu: X86Vcpu, address: bigint, length: number = LONGEST_INSTRUCTION): DecodedInstruction {
  const bytes = new Uint8Array(length)
  const read = vcpu.translation.peek(address, bytes)
  return decode(bytes.subarray(0, read), { mode: modeOf(vcpu.cpu.registers) })
}

/** Instructions that return to the next instruction. */
const isCall = ({ status, mnemonic, info: { flow } }: DecodedInstruction): boolean =>
  status === 'decoded' &&
  (flow === 'call' || flow === 'indirect-call' || flow === 'interrupt' || mnemonic === 'SYSCALL')

/** Addresses at which a call may lie that returns to an address. */
function callsBefore(vcpu: X86Vcpu, address: bigint): bigint[] {
  const found: bigint[] = []
  for (let length = SHORTEST_CALL; length <= LONGEST_INSTRUCTION && address >= length; length++) {
    const at = address - BigInt(length)
    const instruction = decodedAt(vcpu, at, length)
    if (instruction.length === length && isCall(instruction)) found.push(at)
  }
  return found
}

function callersOnStack(vcpu: X86Vcpu): Caller[] {
  const { registers } = vcpu.cpu
  const wordBytes = wordBytesOf(registers)
  const callers: Caller[] = []
  if (wordBytes === 0) return callers
  const { stack, tables } = placeOf(vcpu)
  const bytes = new Uint8Array(SEARCHED_BYTES)
  const read = vcpu.translation.peek(stack, bytes)
  const view = new DataView(bytes.buffer, 0, read)
  const word = (at: number): bigint => {
    if (at + wordBytes > read) return 0n
    return wordBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true))
  }
  const base = wordBytes === 8 ? 0n : registers.segmentBase(CS)
  for (let at = 0; at < read && callers.length < MOST_CALLERS; at += wordBytes) {
    const address = BigInt.asUintN(8 * wordBytes, base + word(at))
    const flags = word(at + 2 * wordBytes)
    // Behind the flags of an interrupt's frame is the stack pointer, in 64-bit mode.
    if (word(at + wordBytes) === BigInt(registers.selector(CS)) && (flags & FLAGS_SET) !== 0n && flags < FLAGS_END) {
      const interrupted = wordBytes === 8 ? word(at + 3 * wordBytes) : stack + BigInt(at + 3 * wordBytes)
      callers.push({ place: { address, stack: interrupted, tables }, isInterrupted: true })
    } else if (callsBefore(vcpu, address).length > 0)
      callers.push({ place: { address, stack: stack + BigInt(at + wordBytes), tables }, isInterrupted: false })
  }
  return callers
}
