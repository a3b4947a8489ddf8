import { useEffect, useRef } from 'preact/hooks'
import { addressBytes, addressText, type Vcpu } from './disassembly.ts'

const NAMES = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ')
const RSP = 4

/** The bits of RFLAGS. Source: Intel SDM vol. 1, "EFLAGS Register". */
const FLAGS = { CF: 0, PF: 2, AF: 4, ZF: 6, SF: 7, TF: 8, IF: 9, DF: 10, OF: 11 }
/** The bits of PSTATE. Source: Arm ARM (DDI 0487) C5.2, "SPSR_EL1". */
const STATUS = { N: 31, Z: 30, C: 29, V: 28, D: 9, A: 8, I: 7, F: 6 }

/** A register for people. */
interface Named {
  readonly name: string
  readonly value: bigint
}

/** The instruction pointer and the general registers, by their names. */
export function registersOf(vcpu: Vcpu): readonly Named[] {
  const { mode, registers } = vcpu
  if (!('ip' in vcpu)) {
    const named = (name: string, value: bigint): Named => ({ name, value })
    return [named('PC', vcpu.address), named('SP', vcpu.sp), ...registers.map((value, i) => named(`X${i}`, value))]
  }
  const isLong = mode === 64
  const named = (name: string, value: bigint): Named => ({
    name: isLong ? name : name.replace('R', 'E'),
    value: BigInt.asUintN(isLong ? 64 : 32, value),
  })
  return [named('RIP', vcpu.ip), ...registers.slice(0, isLong ? 16 : 8).map((value, i) => named(NAMES[i]!, value))]
}

/** Flags, and x86's segments, which stand beside the general registers. */
const BESIDE = 'RIP EIP EFLAGS CS SS DS ES FS GS PC SP CPSR'.split(' ')

/** Whether the list of all vCPUs has a register of gdb's name. */
export const isListed = (name: string): boolean =>
  /^x\d+$/.test(name) || [...NAMES, ...BESIDE].includes(name.toUpperCase())

export const stackOf = (vcpu: Vcpu): { readonly top: bigint; readonly wordBytes: 2 | 4 | 8 } => ({
  top: 'sp' in vcpu ? vcpu.sp : vcpu.registers[RSP]!,
  wordBytes: addressBytes(vcpu.mode),
})

/** Control and segment registers, or system registers: each with its text, and a note beside it. */
function furtherOf(vcpu: Vcpu): readonly (readonly [name: string, text: string, beside?: string])[] {
  const hex = (value: bigint): string => value.toString(16)
  if ('system' in vcpu)
    return [
      ...Object.entries(vcpu.system).map(([name, value]) => [name, hex(value)] as const),
      ['next interrupt', `${vcpu.pendingInterrupt ?? 'none'}`],
    ]
  return [
    ...Object.entries(vcpu.control).map(([name, value]) => [name.toUpperCase(), hex(value)] as const),
    ...vcpu.segments.map(
      ({ name, selector, base }) => [name, selector.toString(16).padStart(4, '0'), hex(base)] as const,
    ),
  ]
}

interface RegistersProps {
  readonly vcpu: Vcpu
  readonly number: number
  /** Whether registers open menus, which the caller provides. */
  readonly isAsked?: boolean
}

/** All registers; those changed since the last look are marked. */
export function Registers({ vcpu, number, isAsked = false }: RegistersProps) {
  const [title, flags, bits] = 'flags' in vcpu ? ['flags', vcpu.flags, FLAGS] : ['PSTATE', vcpu.pstate, STATUS]
  const all = registersOf(vcpu)
  const last = useRef<readonly bigint[]>([])
  const before = last.current
  useEffect(() => {
    last.current = all.map(({ value }) => value)
  })
  return (
    <div class="registers code" role="region" tabIndex={0} aria-label={`Registers of vCPU ${number}`}>
      <dl>
        {all.map(({ name, value }, i) => (
          <div key={name} class={before[i] !== undefined && before[i] !== value ? 'changed' : ''}>
            <dt>{name}</dt>
            <dd data-ask={isAsked ? name : undefined} tabIndex={isAsked ? -1 : undefined}>
              {addressText(value, vcpu.mode)}
            </dd>
          </div>
        ))}
      </dl>
      <p>
        <span class="soft">{title}</span> {flags.toString(16).padStart(8, '0')}{' '}
        {Object.entries(bits).map(([name, bit]) => (
          <span key={name} class={((flags >>> bit) & 1) === 1 ? 'flag set' : 'flag'}>
            {name}
          </span>
        ))}
      </p>
      <dl class="few">
        {furtherOf(vcpu).map(([name, text, beside]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {text} <span class="soft">{beside}</span>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  )
}
