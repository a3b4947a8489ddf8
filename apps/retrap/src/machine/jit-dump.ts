/** `--jit-dump`: the guest code and the compiled code of each unit, in a file for each. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { moduleText } from '@retrap/wasm-emitter'
import { decodeInto, formatIntel, Instruction } from '@retrap/x86-decoder'
import type { DumpedCode } from '@retrap/linux-guest/machine/machine-contract'
import { attempt, troubleWith } from '@retrap/linux-guest/errors'
import { makeFolder } from '@retrap/linux-guest/host/files'

/** Digits of a unit's number in its file's name. */
const NUMBER_DIGITS = 5
/** Columns of an instruction's bytes. */
const BYTES_WIDTH = 22

function x86Text(bytes: Uint8Array, address: bigint, bits: DumpedCode['bits']): string {
  const insn = new Instruction()
  decodeInto(bytes, 0, bytes.length, bits, insn)
  return formatIntel(insn, { address })
}

/** Returns the text of a unit: its module, with each guest instruction as a comment before its code. */
export function compiledText({ module, bits, instructions, marks, disassemble }: DumpedCode): string {
  const texts = instructions.map(({ address, bytes }) => {
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = disassemble?.(bytes, address) ?? x86Text(bytes, address, bits)
    return `${address.toString(16).padStart(bits / 4, '0')}  ${hex.padEnd(BYTES_WIDTH)} ${text}`
  })
  const comments = marks.map(({ at, instruction, goesOn }) => {
    const text = texts[instruction] ?? 'the unit itself'
    return { at, text: goesOn ? `${text}  (continued)` : text }
  })
  return moduleText(module, { comments })
}

/**
 * Makes the folder of a dump.
 *
 * @param warn - called once, where a file cannot be written: the machine goes on without the dump
 * @returns a function that writes a unit to the folder, as `NUMBER-ADDRESS.wat`
 * @throws CliError where the folder cannot be made
 */
export function jitDump(folder: string, warn: (message: string) => void): (code: DumpedCode) => void {
  attempt(`cannot make the folder ${folder}`, () => makeFolder(resolve(folder)), 'write')
  let units = 0
  let hasFailed = false
  return (code) => {
    if (hasFailed) return
    const number = String(units++).padStart(NUMBER_DIGITS, '0')
    const path = join(folder, `${number}-${code.instructions[0]!.address.toString(16)}.wat`)
    try {
      writeFileSync(path, compiledText(code))
    } catch (error) {
      hasFailed = true
      warn(`cannot write ${path}: ${troubleWith(error, 'write')}; no more units are written`)
    }
  }
}
