import { useMemo, useState } from 'preact/hooks'
import { Alert } from '../controls.tsx'
import { Choice, TextField } from '../fields.tsx'
import { armLines } from './arm-lines.ts'
import {
  hexOf,
  type Line,
  type Mode,
  MODES,
  type Part,
  readBytes,
  replaced,
  SHOWN_BYTES,
  type Syntax,
  SYNTAXES,
} from './code.ts'
import { x86Lines } from './x86-lines.ts'

const EXAMPLE = '48 8b 44 cb 10 f0 0f c1 02 62 f1 7c 48 58 c1 75 ef c3'

/** A disassembler: bytes, and their instructions, each with the tree of its encoding. */
export function Disassembler() {
  const given = new URLSearchParams(location.hash.slice(1))
  const [mode, setMode] = useState<Mode>(pick(MODES, given.get('mode'), 'x64'))
  const [syntax, setSyntax] = useState<Syntax>(pick(SYNTAXES, given.get('syntax'), 'intel'))
  const [text, setText] = useState(given.get('bytes') ?? EXAMPLE)
  const [address, setAddress] = useState(given.get('address') ?? '401000')
  const [most, setMost] = useState(SHOWN_BYTES)
  const bytes = useMemo(() => readBytes(text), [text])
  const lines = useMemo(() => disassemble(bytes, most, address, mode, syntax), [bytes, most, address, mode, syntax])
  /** Puts other bytes in place of an instruction's. */
  const change = (at: number, line: Line, others: Uint8Array): void =>
    setText(hexOf(replaced(bytes!, at, at + line.bytes.length, others)))
  let at = 0
  const share = `#${new URLSearchParams({ mode, syntax, address, bytes: text })}`
  return (
    <section class="panel wide" aria-labelledby="disassembler">
      <h2 id="disassembler">Disassembler</h2>
      <div class="fields">
        <Choice
          label="Instruction set"
          choices={Object.entries(MODES) as [Mode, string][]}
          value={mode}
          change={setMode}
        />
        {mode.startsWith('x') && (
          <Choice
            label="Syntax"
            choices={Object.entries(SYNTAXES) as [Syntax, string][]}
            value={syntax}
            change={setSyntax}
          />
        )}
        <TextField label="Address, hexadecimal" value={address} change={setAddress} />
      </div>
      <label>
        Bytes, as they lie in memory
        <textarea
          class="bytes"
          rows={3}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <p>
        <a href={share}>Address of this listing</a>
      </p>
      {typeof lines === 'string' ? (
        <Alert>{lines}</Alert>
      ) : (
        <ol class="listing" aria-label="Instructions">
          {lines.map((line) => {
            const here = at
            at += line.bytes.length
            return <Instruction key={line.address} line={line} change={(others) => change(here, line, others)} />
          })}
        </ol>
      )}
      {bytes !== null && typeof lines !== 'string' && at < bytes.length && (
        <p role="status">
          These are the first {at} of {bytes.length} bytes.{' '}
          <button onClick={() => setMost(most + SHOWN_BYTES)}>
            Show {Math.min(SHOWN_BYTES, bytes.length - at)} more
          </button>
        </p>
      )}
    </section>
  )
}

interface InstructionProps {
  readonly line: Line
  readonly change: (bytes: Uint8Array) => void
}

function Instruction({ line: { address, bytes, text, parts }, change }: InstructionProps) {
  const head = (
    <>
      <span class="soft">{address.toString(16).padStart(8, '0')}</span> <span class="code">{hexOf(bytes)}</span>{' '}
      <strong>{text}</strong>
    </>
  )
  if (parts.length === 0) return <li>{head}</li>
  return (
    <li>
      <details>
        <summary>{head}</summary>
        <table>
          <tbody>
            {parts
              .flatMap((part) => [part, ...(part.parts ?? []).map((one) => ({ ...one, isInner: true }))])
              .map((part) => (
                <PartRow key={part.name} part={part} change={change} />
              ))}
          </tbody>
        </table>
      </details>
    </li>
  )
}

/** A part of the encoding, whose value can be changed: the bytes follow. */
function PartRow({
  part,
  change,
}: {
  part: Part & { readonly isInner?: boolean }
  change: InstructionProps['change']
}) {
  const [isWrong, setWrong] = useState(false)
  const { name, value, text, isInner = false } = part
  return (
    <tr>
      <th scope="row" class={isInner ? 'inner' : ''}>
        {name}
      </th>
      <td class="code">
        {part.change === undefined ? (
          value
        ) : (
          <input
            type="text"
            aria-label={`Value of ${name}`}
            aria-invalid={isWrong}
            spellcheck={false}
            size={Math.max(3, value.length)}
            value={value}
            onChange={(event) => {
              const bytes = part.change!(event.currentTarget.value)
              setWrong(bytes === null)
              if (bytes !== null) change(bytes)
            }}
          />
        )}
      </td>
      <td>{isWrong ? <span class="wrong">It has no such value.</span> : text}</td>
    </tr>
  )
}

function pick<T extends string>(names: Readonly<Record<T, string>>, text: string | null, otherwise: T): T {
  return text !== null && Object.hasOwn(names, text) ? (text as T) : otherwise
}

/** Most bytes of an instruction. */
const LONGEST = 15
const BITS = { x64: 64, x32: 32, x16: 16 } as const

/** @returns an error in words, instead of lines */
function disassemble(
  all: Uint8Array | null,
  most: number,
  address: string,
  mode: Mode,
  syntax: Syntax,
): Line[] | string {
  if (all === null) return 'Bytes are pairs of hexadecimal digits, such as 48 89 d8.'
  if (!/^(0x)?[\da-f]{1,16}$/i.test(address.trim())) return 'An address has 1 to 16 hexadecimal digits.'
  const base = BigInt(`0x${address.trim().replace(/^0x/i, '')}`)
  // The last instruction is whole.
  const bytes = all.subarray(0, most + LONGEST)
  const lines =
    mode === 'a64' || mode === 'a32' || mode === 't32'
      ? armLines(bytes, mode, base)
      : x86Lines(bytes, BITS[mode], base, syntax)
  return lines.filter((line) => line.address - base < BigInt(most))
}
