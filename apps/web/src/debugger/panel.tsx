import type { Machine, MachineChange, RegisterView } from '@retrap/web'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ActionForm, TextField } from '../fields.tsx'
import { download, sizeOf } from '../files.ts'
import { isArm, type Vcpu } from '../inspector/disassembly.ts'
import { isListed, Registers, registersOf, stackOf } from '../inspector/registers.tsx'
import { useRead } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'
import { addressOf } from './addresses.ts'
import { Code } from './code.tsx'
import { Memory, Search, Stack } from './memory.tsx'
import { askedAt, Menu, type OpenMenu, walkAsked } from './menu.tsx'
import { Sizer } from './sizer.tsx'
import { hex } from './stop-text.ts'
import { Stops } from './stops.tsx'
import { SymbolField, SymbolsFile } from './symbols.tsx'
import { Marks } from './time-line.tsx'
import { useDebugger, useRecord } from './use-debugger.ts'
import '../inspector/inspector.css'
import './debugger.css'

/** Warning before a recording begins, and when it is saved. */
export const SHARED =
  'A recording holds what is in the guest’s memory, and what it has read from its disks: give it to nobody who may not see that.'

/** The debugger's panel: the state of the machine at the bar's instant, and queries. */
export function DebuggerPanel({ machine, chosen, isOn, isShown, attempt }: PanelProps) {
  const view = useDebugger(machine, isShown)
  const [menu, setMenu] = useState<OpenMenu | null>(null)
  const { position, history, vcpus, tasks, isBusy, stops, say, look, shown, sought, goTo, ask, change } = view
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
            <Code {...{ machine, vcpu, stops, setStops, sought, attempt }} />
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

/** Registers that can be changed, by gdb's names. */
const REGISTERS: ReadonlySet<string> = new Set([
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'rip', 'eflags'],
  ...Array.from({ length: 8 }, (_, i) => `r${i + 8}`),
  ...['sp', 'pc', 'cpsr'],
  ...Array.from({ length: 31 }, (_, i) => `x${i}`),
])

interface ChangeProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly isBusy: boolean
  /** Asks the user whether the machine is to branch from the recording for the change. */
  readonly ask: (change: MachineChange) => void
}

/** A form that changes a register or memory. */
function Change({ machine, isBusy, attempt, ask }: ChangeProps) {
  const [place, setPlace] = useState('')
  const [text, setText] = useState('')
  const read = async (): Promise<void> => ask(await changeOf(machine, place, text))
  return (
    <section aria-label="Change">
      <h3>Change</h3>
      <ActionForm submit={() => attempt(read)}>
        <SymbolField machine={machine} label="Register or address" placeholder="rax" value={place} change={setPlace} />
        <TextField
          label="New value"
          class="code"
          autocomplete="off"
          spellcheck={false}
          value={text}
          placeholder="hexadecimal: 1f, or bytes: 90 90"
          change={setText}
        />
        <button type="submit" disabled={isBusy}>
          Change …
        </button>
      </ActionForm>
      <p class="soft">
        A recording does not know of changes: the machine branches at this instant, and is changed there.
      </p>
    </section>
  )
}

/** @throws Error with the expected form of the value */
async function changeOf(machine: Machine, place: string, text: string): Promise<MachineChange> {
  const register = place.trim().toLowerCase()
  const digits = text.trim().replace(/^0x/i, '')
  if (REGISTERS.has(register)) {
    if (!/^[\da-f]{1,16}$/i.test(digits)) throw new Error(`'${text}': expected up to 16 hexadecimal digits, such as 1f`)
    return { register, value: BigInt(`0x${digits}`) }
  }
  const bytes = digits.replaceAll(/\s/g, '')
  if (!/^([\da-f]{2})+$/i.test(bytes))
    throw new Error(`'${text}': expected bytes of two hexadecimal digits, such as 90 90`)
  return {
    address: await addressOf(machine, place),
    bytes: Uint8Array.from(bytes.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  }
}

/** Looks that need no address. */
const LOOKS = [
  ['ps', 'Processes'],
  ['task', 'Current task'],
  ['dmesg 200', 'Kernel log'],
  ['interrupts', 'Interrupts'],
  ['pending', 'Instructions that wait'],
] as const

/** Queries at the debugger's instant: how an address is translated, Linux's state, pending requests. */
function Looks({ machine, attempt }: Pick<PanelProps, 'machine' | 'attempt'>) {
  const [text, setText] = useState('')
  const [seen, setSeen] = useState('')
  const look = (line: string): void => attempt(async () => setSeen(await machine.debugger.lookAt(line)))
  const walk = async (): Promise<void> => {
    const address = await addressOf(machine, text)
    const walked = await machine.debugger.lookAt(`walk ${hex(address)}`)
    const [, physical] = /is guest-physical (0x[\da-f]+)/.exec(walked) ?? []
    setSeen(walked + (physical === undefined ? '' : await machine.debugger.lookAt(`p2m ${physical}`)))
  }
  return (
    <section aria-label="Looks">
      <h3>A look at this instant</h3>
      <div class="actions" role="group" aria-label="What to look at">
        {LOOKS.map(([line, name]) => (
          <button key={line} onClick={() => look(line)}>
            {name}
          </button>
        ))}
      </div>
      <ActionForm submit={() => attempt(walk)}>
        <SymbolField machine={machine} label="Linear address" value={text} change={setText} />
        <button type="submit">Page walk</button>
      </ActionForm>
      {seen !== '' && (
        <pre class="code bytes" role="region" tabIndex={0} aria-label="What was looked at">
          {seen}
        </pre>
      )}
    </section>
  )
}

/** Headings of the registers that the panel's first list lacks. */
const LISTS: readonly (readonly [title: string, has: (one: RegisterView) => boolean])[] = [
  ['Floating point, vectors and tiles', ({ list }) => list === 'vector'],
  ['All other registers', ({ list, name }) => list !== 'vector' && !isListed(name)],
]

/** Bits of a tile's row, which is also the largest vector. */
const ROW_BITS = 512
const WORD = /\B(?=([\da-f]{16})+$)/g

/** A value by words of 64 bits, without zeros in front; a tile by its rows. */
function valueText({ bits, value }: RegisterView): string {
  if (bits <= 64) return value.toString(16).padStart(bits / 4, '0')
  if (bits <= ROW_BITS || value === 0n) return value.toString(16).replace(WORD, ' ')
  const rows = Array.from({ length: bits / ROW_BITS }, (_, row) => {
    const part = BigInt.asUintN(ROW_BITS, value >> BigInt(row * ROW_BITS))
    return part === 0n ? '' : `${row}: ${part.toString(16).replace(WORD, ' ')}`
  })
  return rows.filter((row) => row !== '').join('\n')
}

interface MoreRegistersProps {
  readonly machine: Machine
  readonly vcpu: Vcpu
  readonly number: number
}

/** The registers beside the general ones, which are read while a heading is open. Those changed since the last look are marked. */
function MoreRegisters({ machine, vcpu, number }: MoreRegistersProps) {
  const [opened, setOpened] = useState<readonly string[]>([])
  const [all, setAll] = useState<readonly RegisterView[]>([])
  const last = useRef<ReadonlyMap<string, bigint>>(new Map())
  const before = last.current
  const isOpen = opened.length > 0
  // A machine that has ended says nothing more.
  useRead(isOpen ? () => machine.debugger.registers(number) : null, setAll, [machine, number, vcpu, isOpen])
  useEffect(() => {
    last.current = new Map(all.map(({ name, value }) => [name, value]))
  }, [all])
  const toggle = (title: string, isNow: boolean): void =>
    setOpened((titles) => [...titles.filter((one) => one !== title), ...(isNow ? [title] : [])])
  return (
    <>
      {LISTS.map(([title, has]) => (
        <details key={title} onToggle={(event) => toggle(title, event.currentTarget.open)}>
          <summary>{title}</summary>
          {opened.includes(title) && (
            <div class="registers code" role="region" tabIndex={0} aria-label={`${title} of vCPU ${number}`}>
              <dl class="more">
                {all.filter(has).map((one) => (
                  <div key={one.name} class={(before.get(one.name) ?? one.value) === one.value ? '' : 'changed'}>
                    <dt>{one.name.toUpperCase()}</dt>
                    <dd>{valueText(one)}</dd>
                  </div>
                ))}
              </dl>
            </div>
          )}
        </details>
      ))}
    </>
  )
}
