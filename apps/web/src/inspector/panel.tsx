import type { PcView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import './inspector.css'
import type { PanelProps } from '../tabs.tsx'
import { ArmInspector } from './arm-panel.tsx'
import { type Disassemble, loadDisassembler } from './disassembly.ts'
import { HotCode } from './hot-code.tsx'
import { Interrupts } from './interrupts.tsx'
import { AddressLook } from './address-look.tsx'
import { Invalidations, MemoryMap } from './memory-map.tsx'
import { Vcpus } from './vcpus.tsx'
import { LOOKING, useView } from './view.ts'

/** The state of the machine at this moment. */
export function InspectorPanel({ machine, isShown, attempt }: PanelProps) {
  const view = useView(machine, isShown)
  if (view === undefined) return <p class="soft">{LOOKING}</p>
  if (view === null) return <p class="soft">The machine is off.</p>
  return view.architecture === 'arm' ? (
    <ArmInspector machine={machine} view={view} attempt={attempt} />
  ) : (
    <PcInspector machine={machine} view={view} attempt={attempt} />
  )
}

interface PcInspectorProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly view: PcView
}

function PcInspector({ machine, view, attempt }: PcInspectorProps) {
  const [disassemble, setDisassembler] = useState<Disassemble | null>(null)
  useEffect(() => void loadDisassembler().then((loaded) => setDisassembler(() => loaded)), [])
  return (
    <>
      <Vcpus machine={machine} vcpus={view.vcpus} disassemble={disassemble} attempt={attempt} />
      <HotCode machine={machine} view={view} disassemble={disassemble} />
      <Interrupts interrupts={view.interrupts} />
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
