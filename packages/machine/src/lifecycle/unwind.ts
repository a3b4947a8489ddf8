// Callers of code without frame pointers: the code is followed to its return. In compiled code the distance of the stack pointer from
// the frame is one at each instruction, so that any way to a return finds the frame. A function of 32 bits that takes arguments off
// the stack as it returns is not told from another one: the callers of its callers are not found.
import type { X86Vcpu } from '@retrap/hvm'
import { decode, type DecodedInstruction, type MemoryOperand, type Operand, usedResources } from '@retrap/x86-decoder'
import { CS, SS } from '@retrap/x86-cpu'
import { callsNear, followsCall, readWord, wordBytesOf } from './call-stack.ts'

const RSP = 4
const RBP = 5
const MOST_CALLERS = 64
/** Most instructions followed to find one caller. */
const MOST_FOLLOWED = 4000
const LONGEST_INSTRUCTION = 15
/** A direct call leads to no larger function. */
const LARGEST_FUNCTION = 1 << 16
/** Stack that is searched for the caller of a function that does not return. */
const SEARCHED_BYTES = 1 << 14
/** Registers that a function need not keep: RAX, RCX, RDX, RSI, RDI, R8 to R11; in code of 32 bits EAX, ECX, EDX. */
const LOST = { 4: [0, 1, 2], 8: [0, 1, 2, 6, 7, 8, 9, 10, 11] } as const
const RPL = 3n

const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...LEGACY.flatMap((name, i) => [[`r${name}`, i] as const, [`e${name}`, i] as const]),
  ...Array.from({ length: 8 }, (_, i) => [[`r${i + 8}`, i + 8] as const, [`r${i + 8}d`, i + 8] as const]).flat(),
])

/** A number; undefined: unknown. */
type Value = bigint | undefined

/** A position in code, with its registers and stack. */
interface Path {
  /** Offset of the next instruction in the code segment. */
  ip: bigint
  readonly registers: Value[]
  /** The words that were written on the way, by address. */
  readonly written: Map<bigint, Value>
}

const copyOf = ({ ip, registers, written }: Path): Path => ({
  ip,
  registers: [...registers],
  written: new Map(written),
})

/** A place that a function or a handler returns to. */
interface Return {
  readonly path: Path
  /** A direct call stands before it, into the function that returns. */
  readonly isPlain: boolean
}

/**
 * Finds the callers of the code that a vCPU executes. Changes nothing of the guest.
 *
 * @returns linear addresses that are returned to, the innermost first, as far as the privilege level stays
 */
export function unwind(vcpu: X86Vcpu): bigint[] {
  const { registers } = vcpu.cpu
  const wordBytes = wordBytesOf(registers)
  if (wordBytes === 0) return []
  const general = Array.from({ length: 16 }, (_, i): Value => registers.general[i])
  const unwinder = new Unwinder(vcpu, wordBytes)
  const callers: bigint[] = []
  let path: Path | undefined = { ip: registers.rip, registers: general, written: new Map() }
  while (callers.length < MOST_CALLERS) {
    const top: Value = path.registers[RSP]
    path = unwinder.caller(path)
    const now = path?.registers[RSP]
    // Frames lie at ascending addresses, except where an interrupt switches stacks.
    if (path === undefined || now === undefined || now === top) break
    callers.push(unwinder.linear(path.ip))
  }
  return callers
}

class Unwinder {
  readonly #vcpu: X86Vcpu
  readonly #wordBytes: 4 | 8
  readonly #mask: 32 | 64
  readonly #codeBase: bigint
  readonly #stackBase: bigint

  constructor(vcpu: X86Vcpu, wordBytes: 4 | 8) {
    const { registers } = vcpu.cpu
    this.#vcpu = vcpu
    this.#wordBytes = wordBytes
    this.#mask = wordBytes === 8 ? 64 : 32
    this.#codeBase = wordBytes === 8 ? 0n : registers.segmentBase(CS)
    this.#stackBase = wordBytes === 8 ? 0n : registers.segmentBase(SS)
  }

  /** The linear address of code. */
  linear(ip: bigint): bigint {
    return this.#wrap(this.#codeBase + ip)
  }

  #wrap(value: bigint): bigint {
    return BigInt.asUintN(this.#mask, value)
  }

  /** Follows code, by all ways, to a return. */
  caller(from: Path): Path | undefined {
    const ways = [copyOf(from)]
    const seen = new Set<bigint>()
    const code = this.linear(from.ip)
    let other: Path | undefined
    for (let left = MOST_FOLLOWED; left > 0;) {
      const path = ways.shift()
      if (path === undefined) break
      for (; left > 0 && !seen.has(path.ip); left--) {
        seen.add(path.ip)
        const next = this.#follow(path, ways, code)
        if (next === 'end') break
        if (next === 'on') continue
        if (next.isPlain) return next.path
        other ??= next.path
        break
      }
    }
    return other ?? this.#onStack(from)
  }

  /** Executes an instruction as far as the stack is concerned. @param ways - gets the other way of a branch */
  #follow(path: Path, ways: Path[], code: bigint): Return | 'on' | 'end' {
    const bytes = new Uint8Array(LONGEST_INSTRUCTION)
    const read = this.#vcpu.translation.peek(this.linear(path.ip), bytes)
    const mode = this.#wordBytes === 8 ? 64 : 32
    const insn = decode(bytes.subarray(0, read), { mode, address: path.ip })
    if (insn.status !== 'decoded') return 'end'
    const [first] = insn.operands
    path.ip = this.#wrap(path.ip + BigInt(insn.length))
    switch (insn.info.flow) {
      case 'return':
        return this.#returned(path, insn, code)
      case 'call':
      case 'indirect-call':
        for (const number of LOST[this.#wordBytes]) path.registers[number] = undefined
        return 'on'
      case 'branch':
        if (first?.kind === 'branch') ways.push({ ...copyOf(path), ip: first.target })
        break
      case 'jump':
      case 'indirect-jump': {
        const target = first?.kind === 'branch' ? first.target : first && this.#value(path, first)
        if (target === undefined) return 'end'
        path.ip = target
        return 'on'
      }
      case 'exception':
        return 'end'
      default:
    }
    if (insn.mnemonic.startsWith('UD') || insn.mnemonic === 'INT3') return 'end'
    this.#execute(path, insn)
    return 'on'
  }

  #returned(path: Path, { mnemonic, operands: [popped] }: DecodedInstruction, code: bigint): Return | 'end' {
    const top = path.registers[RSP]
    const ip = this.#pop(path)
    if (ip === undefined || top === undefined) return 'end'
    path.ip = ip
    if (mnemonic.startsWith('IRET')) {
      const selector = this.#pop(path)
      // The frame of a program that was interrupted has the stack pointer too, as always in 64-bit mode.
      if (selector === undefined || (selector & RPL) !== BigInt(this.#vcpu.cpu.registers.cpl)) return 'end'
      this.#pop(path)
      if (this.#wordBytes === 8) path.registers[RSP] = this.#pop(path)
      return { path, isPlain: true }
    }
    if (mnemonic !== 'RET' || !followsCall(this.#vcpu, this.linear(ip))) return 'end'
    if (popped?.kind === 'immediate') path.registers[RSP] = this.#wrap(path.registers[RSP]! + popped.value)
    return { path, isPlain: callsNear(this.#vcpu, this.linear(ip), code, LARGEST_FUNCTION) }
  }

  /** The caller of a function that does not return: the first address on the stack behind a direct call into it. */
  #onStack({ ip, registers }: Path): Path | undefined {
    const top = registers[RSP]
    if (top === undefined) return undefined
    for (let at = 0; at < SEARCHED_BYTES; at += this.#wordBytes) {
      const back = this.#memory(top + BigInt(at))
      if (back === undefined) return undefined
      if (!callsNear(this.#vcpu, this.linear(back), this.linear(ip), LARGEST_FUNCTION)) continue
      const lost: Value[] = registers.map(() => undefined)
      lost[RSP] = this.#wrap(top + BigInt(at + this.#wordBytes))
      return { ip: back, registers: lost, written: new Map() }
    }
    return undefined
  }

  #execute(path: Path, insn: DecodedInstruction): void {
    const { registers } = path
    const [to, from] = insn.operands
    switch (insn.mnemonic) {
      case 'PUSH':
        return this.#push(path, to && this.#value(path, to))
      case 'PUSHF':
      case 'PUSHFD':
      case 'PUSHFQ':
        return this.#push(path, undefined)
      case 'POP':
        return this.#set(path, to!, this.#pop(path))
      case 'POPF':
      case 'POPFD':
      case 'POPFQ':
        return void this.#pop(path)
      case 'LEAVE':
        registers[RSP] = registers[RBP]
        registers[RBP] = this.#pop(path)
        return
      case 'MOV':
        return this.#set(path, to!, this.#value(path, from!))
      case 'LEA':
        return this.#set(path, to!, from?.kind === 'memory' ? this.#address(path, from) : undefined)
      case 'ADD':
      case 'SUB':
      case 'AND': {
        const [one, other] = [this.#value(path, to!), this.#value(path, from!)]
        const isKnown = one !== undefined && other !== undefined
        const { mnemonic } = insn
        return this.#set(
          path,
          to!,
          !isKnown ? undefined : mnemonic === 'AND' ? one & other : mnemonic === 'ADD' ? one + other : one - other,
        )
      }
      case 'CMP':
      case 'TEST':
      case 'NOP':
        return
      default:
        for (const { name, access } of usedResources(insn.instruction).registers) {
          const number = access.includes('w') ? NUMBERS.get(name) : undefined
          if (number !== undefined) registers[number] = undefined
        }
    }
  }

  #push(path: Path, value: Value): void {
    const top = path.registers[RSP]
    if (top === undefined) return
    path.registers[RSP] = this.#wrap(top - BigInt(this.#wordBytes))
    path.written.set(path.registers[RSP], value)
  }

  #pop(path: Path): Value {
    const top = path.registers[RSP]
    if (top === undefined) return undefined
    path.registers[RSP] = this.#wrap(top + BigInt(this.#wordBytes))
    return this.#word(path, top)
  }

  #word({ written }: Path, at: bigint): Value {
    return written.has(at) ? written.get(at) : this.#memory(at)
  }

  #memory(at: bigint): Value {
    return readWord(this.#vcpu, this.#wrap(this.#stackBase + at), this.#wordBytes)
  }

  #value(path: Path, operand: Operand): Value {
    if (operand.kind === 'immediate') return this.#wrap(operand.value)
    if (operand.kind === 'register') {
      const number = NUMBERS.get(operand.name)
      const value = number === undefined ? undefined : path.registers[number]
      return value === undefined || operand.size === this.#wordBytes ? value : BigInt.asUintN(8 * operand.size, value)
    }
    const address =
      operand.kind === 'memory' && operand.size === this.#wordBytes ? this.#address(path, operand) : undefined
    return address === undefined ? undefined : this.#word(path, address)
  }

  #set(path: Path, operand: Operand, value: Value): void {
    if (operand.kind === 'memory') {
      const address = this.#address(path, operand)
      if (address !== undefined) path.written.set(address, operand.size === this.#wordBytes ? value : undefined)
      return
    }
    if (operand.kind !== 'register') return
    const number = NUMBERS.get(operand.name)
    // A part of a register, or a register of another kind.
    if (number !== undefined) path.registers[number] = value && BigInt.asUintN(8 * operand.size, value)
    else if (operand.size <= 2 && operand.register < 16) path.registers[operand.register] = undefined
  }

  #address({ registers }: Path, { address, base, index, scale, displacement, segment }: MemoryOperand): Value {
    if (segment === 'fs' || segment === 'gs') return undefined
    if (address !== undefined) return address
    const [from, by] = [base, index].map((name): Value =>
      name === undefined ? 0n : registers[NUMBERS.get(name) ?? -1],
    )
    if (from === undefined || by === undefined) return undefined
    return this.#wrap(from + by * BigInt(scale) + displacement)
  }
}
