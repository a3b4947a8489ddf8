import type { MachineChange, TravelStop } from '@retrap/web'
import { useState } from 'preact/hooks'
import '../inspector/inspector.css'
import './debugger.css'
import { download, sizeOf } from '../files.ts'
import { Ask } from '../ask.tsx'
import { Registers } from '../inspector/registers.tsx'
import { saveMachine } from '../snapshots/save.ts'
import type { PanelProps } from '../tabs.tsx'
import { Change } from './change.tsx'
import { Code } from './code.tsx'
import { Looks } from './looks.tsx'
import { Memory } from './memory.tsx'
import { NotRecorded, SHARED } from './not-recorded.tsx'
import { Stack } from './stack.tsx'
import { Stops } from './stops.tsx'
import { SymbolsFile } from './symbols.tsx'
import { Marks, TimeLine } from './time-line.tsx'
import { useDebugger } from './use-debugger.ts'
import { Ways } from './ways.tsx'

const RSP = 4

/** The machine's debugger: it goes back in the recorded run, and on again. */
export function DebuggerPanel({ machine, chosen, isOn, isShown, attempt }: PanelProps) {
  const view = useDebugger(machine, isShown)
  const { position, history, vcpus, note, isBusy, stops, setStops, go, say, look, play, isPlaying } = view
  /** The branch that the user is asked about: with a change, or `here`. */
  const [asked, ask] = useState<MachineChange | 'here' | null>(null)
  if (position === undefined) return <p class="soft">The machine has not said anything of itself yet.</p>
  if (position === null)
    return <NotRecorded machine={machine} isOn={isOn} isShown={isShown} look={look} attempt={attempt} />
  const travel = (way: () => Promise<TravelStop>): void => attempt(() => go(way))
  const { debugger: debug } = machine
  const vcpu = vcpus[0]
  const branch = async (isSaved: boolean, change: MachineChange | 'here'): Promise<void> => {
    if (isSaved) await saveMachine(machine, chosen, { name: 'Before the branch', parent: chosen.from ?? null })
    await (change === 'here' ? debug.branch() : debug.change(change))
    setStops([])
    const what = change === 'here' ? '' : ', with the change'
    say(
      machine.state === 'running'
        ? 'The machine goes on from here.'
        : `The machine is here now${what}. Continue lets it run.`,
    )
    await look()
  }
  const answer = (isSaved: boolean): void => {
    ask(null)
    if (asked !== null) attempt(() => branch(isSaved, asked))
  }
  const save = async (): Promise<void> => {
    const file = await debug.save()
    download(file, `${chosen.title}.recording`)
    say(`Saved: ${sizeOf(file.size)}. ${SHARED}`)
  }
  return (
    <div class="debugger">
      {asked !== null && (
        <Ask
          question={asked === 'here' ? 'Go on from here?' : 'Change it, and go on from here?'}
          detail="The machine continues from this instant, as a branch. What it has done since is given up, unless you save a snapshot of now first."
          answers={[
            { name: 'Save now, and go on from here', action: () => answer(true) },
            { name: 'Go on from here, and give up the rest', action: () => answer(false) },
          ]}
          cancel={() => ask(null)}
        />
      )}
      <Ways
        debug={debug}
        isBusy={isBusy}
        isLive={position.isLive}
        isPlaying={isPlaying}
        play={play}
        travel={travel}
        attempt={attempt}
        branch={() => ask('here')}
      />
      <p role="status" class="note">
        <strong>{isPlaying ? 'Playing' : isBusy ? 'On its way …' : position.isLive ? 'Now' : 'In the past'}</strong>{' '}
        {note}
      </p>
      {history !== null && history.samples.length > 0 && (
        <>
          <TimeLine
            history={history}
            position={position}
            isBusy={isBusy}
            go={(instruction) => travel(() => debug.goto(instruction))}
          />
          <Marks history={history} isBusy={isBusy} go={(instruction) => travel(() => debug.goto(instruction))} />
        </>
      )}
      {vcpu !== undefined && (
        <>
          <Code machine={machine} vcpu={vcpu} stops={stops} setStops={setStops} attempt={attempt} />
          {vcpus.map((one, i) => (
            <Registers key={i} vcpu={one} number={i} />
          ))}
          <Stack machine={machine} vcpu={vcpu} position={position} />
          <Stops machine={machine} stops={stops} setStops={setStops} attempt={attempt} />
          <Memory
            machine={machine}
            instruction={position.instruction}
            past={view}
            stackPointer={vcpu.registers[RSP]!}
            attempt={attempt}
          />
        </>
      )}
      <Change
        machine={machine}
        isBusy={isBusy}
        note="A recording does not know of changes: the machine branches at this instant, and is changed there."
        attempt={attempt}
        ask={ask}
      />
      <Looks machine={machine} attempt={attempt} />
      <div class="actions">
        <SymbolsFile machine={machine} say={say} attempt={attempt} />
        <button disabled={isBusy} onClick={() => attempt(save)}>
          Save the recording
        </button>
        <button disabled={isBusy} onClick={() => attempt(() => debug.mark(`Mark ${(history?.marks.length ?? 0) + 1}`))}>
          Mark this instant
        </button>
        <button disabled={isBusy} onClick={() => attempt(async () => say(`State hash: ${await debug.stateHash()}`))}>
          State hash
        </button>
        <span class="soft">{history === null ? '' : `${sizeOf(history.bytes)} of recording in memory`}</span>
      </div>
    </div>
  )
}
