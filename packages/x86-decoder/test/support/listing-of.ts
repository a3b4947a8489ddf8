/** What `browser.test.ts` runs in Node and in a browser: every syntax and every field, so that nothing can differ unseen. */
import { decodeAll, formatAtt, formatIntel, formatNasm } from '../../src/index.ts'

/** A line for each instruction of `bytes` in each mode. */
export function listingOf(bytes: Uint8Array): string[] {
  return ([16, 32, 64] as const).flatMap((mode) =>
    Array.from(decodeAll(bytes, { mode, address: 0x1000n }), (insn) =>
      [
        mode,
        insn.status,
        insn.status === 'decoded' ? [formatIntel(insn), formatAtt(insn), formatNasm(insn)].join(' | ') : insn.reason,
        JSON.stringify(insn.instruction),
        insn.info.feature,
        insn.info.flagsWritten,
      ].join(' '),
    ),
  )
}
