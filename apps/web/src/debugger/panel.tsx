import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import '../inspector/inspector.css'
import './debugger.css'
import { download, sizeOf } from '../files.ts'
import { isArm } from '../inspector/disassembly.ts'
import { Registers, registersOf, stackOf } from '../inspector/registers.tsx'
import type { PanelProps } from '../tabs.tsx'
import { Change } from './change.tsx'
import { Code } from './code.tsx'
import { Looks } from './looks.tsx'
import { Memory } from './memory.tsx'
import { MoreRegisters } from './more-registers.tsx'
import { askedAt, Menu, type OpenMenu, walkAsked } from './menu.tsx'
import { Search } from './search.tsx'
import { Sizer } from './sizer.tsx'
import { Stack } from './stack.tsx'
import { Stops } from './stops.tsx'
import { SymbolsFile } from './symbols.tsx'
import { Marks } from './time-line.tsx'
import { useDebugger, useRecord } from './use-debugger.ts'

/** Warning before a recording begins, and when it is saved. */
export const SHARED =
  'A recording holds what is in the guest’s memory, and what it has read from its disks: give it to nobody who may not see that.'

/** The debugger's panel: the state of the machine at the bar's instant, and queries. */
export function DebuggerPanel({ machine, chosen, isOn, isShown, attempt }: PanelProps) {
  const view = useDebugger(machine, isShown)
  const [menu, setMenu] = useState<OpenMenu | null>(null)
  const { position, history, vcpus, tasks, isBusy, stops, say, look, shown, goTo, ask, change } = view
  if (position === undefined) return <p class="soft">The machine has not said anything of itself yet.</p>
  if (position === null) return <NotRecorded machine={machine} isOn={isOn} look={look} attempt={attempt} />
  const { debugger: debug } = machine
  const vcpu = vcpus[0]
  const setStops = (next: typeof stops): void => change({ stops: next })
  const save = async (): Promise<void> => {
    const file = await debug.save()
    download(file, `${chosen.title}.recording`)
    say(`Saved: ${sizeOf(file.size)}. ${SHARED}`)
  }
  /** Opens the menu of a register. */
  const askRegister = (event: MouseEvent, cpu: number): void => {
    const name = askedAt(event)
    if (name === undefined) return
    event.preventDefault()
    const { value = 0n } = registersOf(vcpus[cpu]!).find((one) => one.name === name) ?? {}
    const who = () => attempt(() => ask(name, { register: name.toLowerCase().replace(/^e/, 'r'), cpu }))
    setMenu({
      ...{ x: event.clientX, y: event.clientY, title: name },
      items: [
        // The instruction pointer is written by each instruction.
        ...(/^(.IP|PC)$/.test(name) ? [] : [{ name: 'Who wrote this?', action: who }]),
        { name: 'Show memory there', action: () => change({ shown: { address: value } }) },
      ],
    })
  }
  return (
    <div class="debugger">
      {menu !== null && <Menu key={menu.title} menu={menu} close={() => setMenu(null)} />}
      {vcpu !== undefined && (
        <div class="panes">
          <Pane name="Code" initial={240}>
            <Code machine={machine} vcpu={vcpu} stops={stops} setStops={setStops} attempt={attempt} />
          </Pane>
          <Pane name="Registers" initial={230}>
            {vcpus.map((one, i) => (
              <section key={i} aria-label={`vCPU ${i}`}>
                <div onContextMenu={(event) => askRegister(event, i)} onKeyDown={(event) => walkAsked(event, 2)}>
                  <h3>
                    vCPU {i}
                    {tasks[i] && `: pid ${tasks[i].pid}, ${tasks[i].name}`}
                  </h3>
                  <Registers vcpu={one} number={i} isAsked />
                </div>
                <MoreRegisters machine={machine} vcpu={one} number={i} />
              </section>
            ))}
          </Pane>
          <Pane name="Calls and stack" initial={180}>
            <Stack
              machine={machine}
              vcpu={vcpu}
              position={position}
              show={(address) => change({ shown: { address } })}
            />
          </Pane>
          <Pane name="Memory" initial={260}>
            <Memory
              machine={machine}
              instruction={position.instruction}
              past={view}
              stackPointer={stackOf(vcpu).top}
              shown={shown}
              attempt={attempt}
            />
          </Pane>
        </div>
      )}
      <Search machine={machine} view={view} attempt={attempt} />
      <Stops
        machine={machine}
        isArm={vcpu !== undefined && isArm(vcpu.mode)}
        stops={stops}
        setStops={setStops}
        attempt={attempt}
      />
      {history !== null && <Marks history={history} isBusy={isBusy} go={(to) => attempt(() => goTo(to))} />}
      <Change machine={machine} isBusy={isBusy} attempt={attempt} ask={(branch) => change({ branch })} />
      <Looks machine={machine} attempt={attempt} />
      <div class="actions">
        <SymbolsFile machine={machine} say={say} attempt={attempt} />
        <button disabled={isBusy} onClick={() => attempt(save)}>
          Save the recording
        </button>
        <button disabled={isBusy} onClick={() => attempt(async () => say(`State hash: ${await debug.stateHash()}`))}>
          State hash
        </button>
        <span class="soft">{history === null ? '' : `${sizeOf(history.bytes)} of recording in memory`}</span>
      </div>
    </div>
  )
}

/** A part of the panel that the user makes as high as wanted. */
function Pane({ name, initial, children }: { name: string; initial: number; children: ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null)
  return (
    <div class="pane">
      <div class="inside" ref={place} style={{ height: `${initial}px` }}>
        {children}
      </div>
      <Sizer
        name={`Height of ${name.toLowerCase()}`}
        of="above"
        least={64}
        most={1600}
        initial={() => initial}
        size={(pixels) => place.current!.style.setProperty('height', `${pixels}px`)}
      />
    </div>
  )
}

interface NotRecordedProps extends Pick<PanelProps, 'machine' | 'isOn' | 'attempt'> {
  /** Looks at the machine's debugger again. */
  readonly look: () => Promise<void>
}

/** The debugger panel of an unrecorded machine: offers a recording. */
export function NotRecorded({ machine, isOn, attempt, look }: NotRecordedProps) {
  const { isBeginning, begin } = useRecord(machine, look)
  return (
    <>
      <p>
        When a machine is recorded you can go back in its run, instruction by instruction, and ask who wrote a byte. Its
        time is then counted from what it executes.
      </p>
      <div class="actions">
        <button class="primary" disabled={!isOn || isBeginning} onClick={() => attempt(begin)}>
          Record
        </button>
        <span class="soft" role="status">
          {isBeginning ? 'It begins to be recorded …' : isOn ? '' : 'The machine is off: there is nothing to record.'}
        </span>
      </div>
      <p class="soft">{SHARED}</p>
    </>
  )
}
