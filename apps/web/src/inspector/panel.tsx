import type { Machine, MachineView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { Devices } from './devices.tsx'
import { type Disassemble, loadDisassembler } from './disassembly.ts'
import { HotCode } from './hot-code.tsx'
import { Interrupts } from './interrupts.tsx'
import { MemoryMap } from './memory-map.tsx'
import { Vcpus } from './vcpus.tsx'

/** Between two looks at the machine. */
const LOOK_MS = 250

/** What the machine does at this moment, and brakes for its devices. */
export function InspectorPanel({ machine }: { machine: Machine }) {
  const [view, setView] = useState<MachineView | null>(null)
  const [disassemble, setDisassembler] = useState<Disassemble | null>(null)
  useEffect(() => {
    void loadDisassembler().then((loaded) => setDisassembler(() => loaded))
    let isOver = false
    let timer: ReturnType<typeof setTimeout> | undefined
    // A machine that is busy is not asked again before it has answered.
    const look = async (): Promise<void> => {
      const seen = await machine.inspect().catch(() => null)
      if (isOver) return
      setView(seen)
      timer = setTimeout(() => void look(), LOOK_MS)
    }
    void look()
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [machine])
  if (view === null) return <p class="soft">The machine is off.</p>
  return (
    <>
      <p class="soft">
        {view.instructions.toLocaleString('en')} instructions executed since this page has switched it on, or has gone
        on from a snapshot
      </p>
      <Vcpus machine={machine} vcpus={view.vcpus} disassemble={disassemble} />
      <Devices machine={machine} devices={view.devices} requests={view.requests} />
      <Interrupts interrupts={view.interrupts} />
      <MemoryMap map={view.map} />
      <HotCode machine={machine} disassemble={disassemble} />
    </>
  )
}
