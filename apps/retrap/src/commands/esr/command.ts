/** `retrap esr VALUE…`. */
import type { describeSyndrome, SyndromeFormat } from '@retrap/arm-mmio'
import { type Command } from 'commander'
import { type ListingOutput, printLines } from '../../print-lines.ts'
import { parseAddress, usage } from '../../options/values.ts'

const EXAMPLES = `
Examples:
  retrap esr 0x93800007
  retrap esr 0x93c38045 0x92000047
  retrap esr --hsr 0x93830006`

export function addEsr(program: Command, output: ListingOutput): void {
  program
    .command('esr')
    .description('Show an Arm exception syndrome field by field, and what it says')
    .argument('<value...>', 'ESR_EL2, ESR_EL1 or HSR')
    .option('--hsr', 'the value is an HSR: the hypervisor runs in AArch32')
    .addHelpText('after', EXAMPLES)
    .action(async (values: readonly string[], flags: { readonly hsr?: boolean }) => {
      const parse = parseAddress('VALUE', 'a syndrome', '0x93800007')
      const syndromes = values.map(parse)
      const format: SyndromeFormat = flags.hsr === true ? 'hsr' : 'esr'
      if (format === 'hsr' && syndromes.some((value) => value > 0xffff_ffffn)) throw usage('HSR has 32 bits')
      // Imported here because the module loads the Arm processor, which no other command needs at its start.
      const { describeSyndrome: describe } = await import('@retrap/arm-mmio')
      await printLines(
        syndromes.flatMap((value, index) => [...(index === 0 ? [] : ['']), ...lines(value, format, describe)]),
        output,
      )
    })
}

function lines(value: bigint, format: SyndromeFormat, describe: typeof describeSyndrome): string[] {
  const { fields, sentence } = describe(Number(value & 0xffff_ffffn), format)
  const high = Number(value >> 32n)
  return [
    `${format === 'hsr' ? 'HSR' : 'ESR'} 0x${value.toString(16).padStart(8, '0')}`,
    ...(high === 0 ? [] : [row('ISS2', '63:32', high, 'not taken apart')]),
    ...fields.map(({ name, bits, value: field, text }) => row(name, bits, field, text)),
    sentence,
  ]
}

function row(name: string, bits: string, value: number, text: string): string {
  return `  ${name.padEnd(6)} ${bits.padStart(5)}  ${`0x${value.toString(16)}`.padStart(10)}  ${text}`
}
