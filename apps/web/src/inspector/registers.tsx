import type { VcpuView } from '@retrap/web'
import { useEffect, useRef } from 'preact/hooks'
import { addressText } from './disassembly.ts'

const NAMES = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ')

/** The flags of RFLAGS, by bit. Source: Intel SDM vol. 1, "EFLAGS Register". */
const FLAGS = [
  [0, 'CF'],
  [2, 'PF'],
  [4, 'AF'],
  [6, 'ZF'],
  [7, 'SF'],
  [8, 'TF'],
  [9, 'IF'],
  [10, 'DF'],
  [11, 'OF'],
] as const

/** The instruction pointer and the general registers, by their names. */
export function registersOf({
  mode,
  registers,
  ip,
}: VcpuView): readonly { readonly name: string; readonly value: bigint }[] {
  const isLong = mode === 64
  const named = (name: string, value: bigint): { name: string; value: bigint } => ({
    name: isLong ? name : name.replace('R', 'E'),
    value: BigInt.asUintN(isLong ? 64 : 32, value),
  })
  return [named('RIP', ip), ...registers.slice(0, isLong ? 16 : 8).map((value, i) => named(NAMES[i]!, value))]
}

interface RegistersProps {
  readonly vcpu: VcpuView
  readonly number: number
  /** Whether registers open menus, which the caller provides. */
  readonly isAsked?: boolean
}

/** All registers; those changed since the last look are marked. */
export function Registers({ vcpu, number, isAsked = false }: RegistersProps) {
  const { mode, flags, control, segments } = vcpu
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
              {addressText(value, mode)}
            </dd>
          </div>
        ))}
      </dl>
      <p>
        <span class="soft">flags</span> {flags.toString(16).padStart(8, '0')}{' '}
        {FLAGS.map(([bit, name]) => (
          <span key={name} class={((flags >>> bit) & 1) === 1 ? 'flag set' : 'flag'}>
            {name}
          </span>
        ))}
      </p>
      <dl class="few">
        {Object.entries(control).map(([name, value]) => (
          <div key={name}>
            <dt>{name.toUpperCase()}</dt>
            <dd>{value.toString(16)}</dd>
          </div>
        ))}
        {segments.map(({ name, selector, base }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {selector.toString(16).padStart(4, '0')} <span class="soft">{base.toString(16)}</span>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  )
}
