import type { Machine, MachineView, VcpuView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'

/** Between two looks at the machine. */
const LOOK_MS = 250
const MOST_INSTRUCTIONS = 6
const MOST_DELAY_MS = 3000

type Disassemble = (vcpu: VcpuView) => string

/** Loads the disassembler, which is large, when somebody looks. */
async function loadDisassembler(): Promise<Disassemble> {
  const { decodeAll, formatIntel } = await import('@retrap/x86-decoder')
  return ({ mode, address, bytes }) => {
    const lines: string[] = []
    let at = address
    for (const instruction of decodeAll(bytes, { mode, address })) {
      if (lines.length === MOST_INSTRUCTIONS) break
      lines.push(`${at.toString(16).padStart(mode === 64 ? 16 : 8, '0')}  ${formatIntel(instruction)}`)
      at += BigInt(instruction.length)
    }
    return lines.join('\n')
  }
}

/** What the machine does at this moment, and a brake for its disks. */
export function InspectorPanel({ machine }: { machine: Machine }) {
  const [view, setView] = useState<MachineView | null>(null)
  const [disassemble, setDisassembler] = useState<Disassemble | null>(null)
  const [delay, setDelay] = useState(0)
  useEffect(() => {
    void loadDisassembler().then((loaded) => setDisassembler(() => loaded))
    const look = (): void => void machine.inspect().then(setView, () => setView(null))
    look()
    const timer = setInterval(look, LOOK_MS)
    return () => clearInterval(timer)
  }, [machine])
  return (
    <>
      {view === null && <p class="soft">The machine is off.</p>}
      {view?.vcpus.map((vcpu, i) => (
        <section key={i} aria-label={`vCPU ${i}`}>
          <h3>
            vCPU {i}: {vcpu.mode}-bit, {vcpu.idle ? 'waits for an interrupt' : 'executes'}
          </h3>
          <pre>{disassemble?.(vcpu) ?? ''}</pre>
        </section>
      ))}
      {view !== null && (
        <section aria-label="Requests of disks">
          <h3>Requests of disks under way</h3>
          <pre>
            {view.requests
              .map(({ drive, offset, bytes, ms }) => `${drive}  ${bytes} bytes at ${offset}: ${Math.round(ms)} ms`)
              .join('\n') || 'none'}
          </pre>
        </section>
      )}
      <label>
        Disks take longer, by {delay} ms
        <input
          type="range"
          min={0}
          max={MOST_DELAY_MS}
          step={50}
          value={delay}
          onInput={(event) => {
            const ms = Number(event.currentTarget.value)
            setDelay(ms)
            machine.setDiskDelay(ms)
          }}
        />
      </label>
    </>
  )
}
