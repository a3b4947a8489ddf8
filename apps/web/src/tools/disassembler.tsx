import { useMemo, useState } from 'preact/hooks'
import { armLines } from './arm-lines.ts'
import { hexOf, type Line, type Mode, MODES, readBytes, type Syntax, SYNTAXES } from './code.ts'
import { x86Lines } from './x86-lines.ts'

const EXAMPLE = '48 8b 44 cb 10 f0 0f c1 02 62 f1 7c 48 58 c1 75 ef c3'

/** Bytes, and the instructions that they are, each with the tree of its encoding. */
export function Disassembler() {
  const given = new URLSearchParams(location.hash.slice(1))
  const [mode, setMode] = useState<Mode>(pick(MODES, given.get('mode'), 'x64'))
  const [syntax, setSyntax] = useState<Syntax>(pick(SYNTAXES, given.get('syntax'), 'intel'))
  const [text, setText] = useState(given.get('bytes') ?? EXAMPLE)
  const [address, setAddress] = useState(given.get('address') ?? '401000')
  const lines = useMemo(() => disassemble(text, address, mode, syntax), [text, address, mode, syntax])
  const share = `#${new URLSearchParams({ mode, syntax, address, bytes: text })}`
  return (
    <section class="panel wide" aria-labelledby="disassembler">
      <h2 id="disassembler">Disassembler</h2>
      <div class="fields">
        <Choice label="Instruction set" names={MODES} value={mode} change={setMode} />
        {mode.startsWith('x') && <Choice label="Syntax" names={SYNTAXES} value={syntax} change={setSyntax} />}
        <label>
          Address, hexadecimal
          <input type="text" value={address} onInput={(event) => setAddress(event.currentTarget.value)} />
        </label>
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
        <p class="wrong" role="alert">
          {lines}
        </p>
      ) : (
        <ol class="listing" aria-label="Instructions">
          {lines.map((line) => (
            <Instruction key={line.address} line={line} />
          ))}
        </ol>
      )}
    </section>
  )
}

function Instruction({ line: { address, bytes, text, parts } }: { line: Line }) {
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
            {parts.map(({ name, value, text: meaning }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="code">{value}</td>
                <td>{meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </li>
  )
}

interface ChoiceProps<T extends string> {
  readonly label: string
  readonly names: Readonly<Record<T, string>>
  readonly value: T
  readonly change: (value: T) => void
}

function Choice<T extends string>({ label, names, value, change }: ChoiceProps<T>) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => change(event.currentTarget.value as T)}>
        {(Object.entries(names) as [T, string][]).map(([one, name]) => (
          <option value={one}>{name}</option>
        ))}
      </select>
    </label>
  )
}

function pick<T extends string>(names: Readonly<Record<T, string>>, text: string | null, otherwise: T): T {
  return text !== null && Object.hasOwn(names, text) ? (text as T) : otherwise
}

const BITS = { x64: 64, x32: 32, x16: 16 } as const

/** @returns what is wrong, in words, in place of lines */
function disassemble(text: string, address: string, mode: Mode, syntax: Syntax): Line[] | string {
  const bytes = readBytes(text)
  if (bytes === null) return 'Bytes are pairs of hexadecimal digits, such as 48 89 d8.'
  if (!/^(0x)?[\da-f]{1,16}$/i.test(address.trim())) return 'An address has 1 to 16 hexadecimal digits.'
  const base = BigInt(`0x${address.trim().replace(/^0x/i, '')}`)
  return mode === 'a64' || mode === 'a32' || mode === 't32'
    ? armLines(bytes, mode, base)
    : x86Lines(bytes, BITS[mode], base, syntax)
}
