import type { CrashDetail } from '@retrap/machine'

/** Turns an instruction into text; kept apart so that the report does not depend on how. */
export type Disassemble = (instruction: NonNullable<CrashDetail['instruction']>) => string

const COLUMNS = 4

/**
 * What is printed of a machine that could not go on: why, its registers, and the instruction it stood at.
 *
 * @returns lines that end with a line feed
 */
export function formatCrash(title: string, detail: CrashDetail | undefined, disassemble: Disassemble): string {
  const where = detail?.vcpu === undefined ? '' : ` on vCPU ${detail.vcpu}`
  const lines = [`retrap: ${title}${where}${detail === undefined ? '' : `: ${detail.message}`}`]

  const cells = Object.entries(detail?.registers ?? {}).map(
    ([name, value]) => `${name.padEnd(7)}${BigInt.asUintN(64, value).toString(16).padStart(16, '0')}`,
  )
  for (let at = 0; at < cells.length; at += COLUMNS) lines.push(`  ${cells.slice(at, at + COLUMNS).join('  ')}`)

  const instruction = detail?.instruction
  if (instruction !== undefined) {
    const address = BigInt.asUintN(64, instruction.address).toString(16).padStart(16, '0')
    const none = instruction.bytes.length === 0
    const bytes = Array.from(instruction.bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`  ${address}  ${none ? 'no memory here' : disassemble(instruction)}`)
    if (!none) lines.push(`  ${' '.repeat(16)}  ${bytes}`)
  }
  return `${lines.join('\n')}\n`
}
