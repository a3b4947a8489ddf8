import { useEffect, useState } from 'preact/hooks'
import './inspector.css'
import type { PanelProps } from '../tabs.tsx'
import { type Decode, loadDecoder } from './disassembly.ts'
import { HotCode } from './hot-code.tsx'
import { Interrupts } from './interrupts.tsx'
import { AddressLook } from './address-look.tsx'
import { Invalidations, MemoryMap } from './memory-map.tsx'
import { Vcpus } from './vcpus.tsx'
import { LOOKING, useView } from './view.ts'

/** The state of the machine at this moment. */
export function InspectorPanel({ machine, isShown, attempt }: PanelProps) {
  const view = useView(machine, isShown)
  const [decode, setDecode] = useState<Decode | null>(null)
  const mode = view?.vcpus[0]?.mode
  useEffect(() => {
    if (mode !== undefined) void loadDecoder(mode).then((loaded) => setDecode(() => loaded))
  }, [view?.architecture])
  if (view === undefined) return <p class="soft">{LOOKING}</p>
  if (view === null) return <p class="soft">The machine is off.</p>
  return (
    <>
      <Vcpus machine={machine} vcpus={view.vcpus} decode={decode} attempt={attempt} />
      {view.architecture === 'x86' && (
        <>
          <HotCode machine={machine} view={view} decode={decode} />
          <Interrupts interrupts={view.interrupts} />
        </>
      )}
      <AddressLook machine={machine} instructions={view.instructions} cpus={view.vcpus.length} attempt={attempt} />
      <MemoryMap map={view.map} />
      <Invalidations invalidations={view.invalidations} />
      <p class="soft">
        {view.instructions.toLocaleString('en')} instructions executed since this page has switched it on, or has gone
        on from a snapshot
      </p>
    </>
  )
}
