// Tools that need no machine: nothing of one is loaded.
import { describeSyndrome } from '@retrap/arm-mmio'
import { useState } from 'preact/hooks'
import { Alert, showPage } from './controls.tsx'
import { TextField } from './fields.tsx'
import { Disassembler } from './tools/disassembler.tsx'
import { SyndromeFields } from './tools/syndrome-fields.tsx'

/** An Arm exception syndrome field by field, as `retrap esr` shows it. */
function Syndromes() {
  const [text, setText] = useState('0x93c38045')
  const [isHsr, setHsr] = useState(false)
  const value = /^(0x)?[\da-f]{1,16}$/i.test(text.trim()) ? BigInt(`0x${text.trim().replace(/^0x/i, '')}`) : null
  const isWrong = value === null || (isHsr && value > 0xffff_ffffn)
  return (
    <section class="panel wide" aria-labelledby="syndromes">
      <h2 id="syndromes">Arm syndromes</h2>
      <div class="fields">
        <TextField label={`${isHsr ? 'HSR' : 'ESR'}, hexadecimal`} value={text} change={setText} />
        <label class="check">
          <input type="checkbox" checked={isHsr} onChange={(event) => setHsr(event.currentTarget.checked)} /> AArch32's
          HSR
        </label>
      </div>
      {isWrong ? (
        <Alert>A syndrome has 1 to {isHsr ? 8 : 16} hexadecimal digits.</Alert>
      ) : (
        <Fields value={value} isHsr={isHsr} />
      )}
    </section>
  )
}

function Fields({ value, isHsr }: { value: bigint; isHsr: boolean }) {
  const { fields, sentence } = describeSyndrome(Number(value & 0xffff_ffffn), isHsr ? 'hsr' : 'esr')
  return (
    <>
      <p role="status">{sentence}</p>
      <SyndromeFields fields={fields} high={value >> 32n} />
    </>
  )
}

showPage(
  <>
    <header>
      <h1>
        <a href="./">retrap</a>
      </h1>
      <span class="soft">tools without a machine</span>
    </header>
    <main class="columns">
      <Disassembler />
      <Syndromes />
    </main>
  </>,
)
