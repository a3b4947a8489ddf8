/** The syntaxes of `ByteFormatter`. */
import { type ByteFormatOptions, type ByteFormatter, SyntaxBytes } from './byte-formatter.ts'
import { OP_RELATIVE, OP_RELATIVE_BEFORE, OP_RELATIVE_START } from './byte-program.ts'
import { immediateCutFields, relativeFieldAtt, writeAtt } from './format-att.ts'
import { relativeFieldIntel, writeIntel } from './format-intel.ts'
import { relativeFieldNasm, writeNasm } from './format-nasm.ts'

/**
 * Returns a formatter that prints what `formatIntel` does.
 *
 * @throws DecoderError `ERR_OPTION` for options that are invalid, or that bytes cannot be printed with
 */
export function bytesIntel(options: ByteFormatOptions = {}): ByteFormatter {
  return new SyntaxBytes(writeIntel, { fields: [[relativeFieldIntel, OP_RELATIVE]], cut: [] }, options)
}

/**
 * Returns a formatter that prints what `formatAtt` does.
 *
 * @throws DecoderError `ERR_OPTION` for options that are invalid, or that bytes cannot be printed with
 */
export function bytesAtt(options: ByteFormatOptions = {}): ByteFormatter {
  const syntax = { fields: [[relativeFieldAtt, OP_RELATIVE_BEFORE]], cut: immediateCutFields } as const
  return new SyntaxBytes(writeAtt, syntax, options)
}

/**
 * Returns a formatter that prints what `formatNasm` does.
 *
 * @throws DecoderError `ERR_OPTION` for options that are invalid, or that bytes cannot be printed with
 */
export function bytesNasm(options: ByteFormatOptions = {}): ByteFormatter {
  return new SyntaxBytes(writeNasm, { fields: [[relativeFieldNasm, OP_RELATIVE_START]], cut: [] }, options)
}
