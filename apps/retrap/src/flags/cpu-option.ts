/** The option `--cpu`: the machine's processor, and lists of models and features. */
import { CPU_FEATURES, CPU_MODELS, cpuModel, X86CpuError } from '@retrap/x86-cpu'
import { type Command, CommanderError } from 'commander'
import { usage } from '../options/values.ts'

/** Columns of the list. */
const WIDTH = 100

/** Names in lines of {@link WIDTH} columns, indented. */
function inLines(names: readonly string[]): string {
  const lines: string[] = []
  let line = ' '
  for (const name of names) {
    if (line.length + 1 + name.length > WIDTH) {
      lines.push(line)
      line = ' '
    }
    line += ` ${name}`
  }
  return [...lines, line].join('\n')
}

/** Returns the text of `--cpu help`: models with their features, and all features with their requirements. */
export function cpuHelp(): string {
  const models = CPU_MODELS.map(({ name, about, model }) => {
    const missing = CPU_FEATURES.filter((feature) => !model.features.has(feature.name))
    const features =
      missing.length < model.features.size
        ? `all features but ${missing.map((feature) => feature.name.toLowerCase()).join(' ')}`
        : [...model.features].map((feature) => feature.toLowerCase()).join(' ')
    return `  ${name.padEnd(8)} ${about}\n${inLines(features.split(' ')).replaceAll(/^ /gm, '          ')}`
  })
  const needs = CPU_FEATURES.filter((feature) => feature.needs.length > 0).map(
    ({ name, needs: needed }) => `${name.toLowerCase()} (${needed.join(' ').toLowerCase()})`,
  )
  return `Models:
${models.join('\n')}

Features, for +NAME and -NAME:
${inLines(CPU_FEATURES.map((feature) => feature.name.toLowerCase()))}

Features that need others:
${inLines(needs)}

Further changes: vendor=intel or vendor=amd for a maker's rules, physical-bits=32 to 52 for the width of physical addresses.
`
}

/**
 * Reads `--cpu`. With `help` the command ends, and the list is printed. QEMU's `host` is `max`.
 *
 * @throws CliError `ERR_USAGE` for a processor that cannot be
 */
export function parseCpu(given: string, command: Command): string {
  const output = command.configureOutput()
  const text = given.replace(/^host(?=,|$)/, 'max')
  if (text !== given)
    output.writeErr?.('retrap: --cpu host: the processor is emulated, with everything that there is: max\n')
  if (text === 'help') {
    output.writeOut?.(cpuHelp())
    throw new CommanderError(0, 'retrap.cpuHelp', '')
  }
  try {
    cpuModel(text)
  } catch (error) {
    if (error instanceof X86CpuError) throw usage(`--cpu: ${error.message}; --cpu help lists what there is`)
    throw error
  }
  return text
}
