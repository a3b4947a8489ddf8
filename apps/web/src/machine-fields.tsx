import { CPU_MODELS, cpuModel } from '@retrap/x86-cpu'
import { useState } from 'preact/hooks'
import { ActionForm, Choice, TextField } from './fields.tsx'
import { NETWORK_NOTES, RelayAddress } from './relay-address.tsx'
import { type ChosenImage, commandLineFor, isRelay, NETWORKS, type Role, ROLES, type Settings } from './settings.ts'

/** A field that adds an image at an address. */
export function Address({ add }: { add: (image: ChosenImage) => void }) {
  const [address, setAddress] = useState('')
  const [role, setRole] = useState<Role>('disk')
  return (
    <ActionForm
      look=""
      submit={() => {
        add({ role, source: address })
        setAddress('')
      }}
    >
      <div class="fields">
        <TextField label="Address" type="url" required value={address} placeholder="https://" change={setAddress} />
        <Choice label="What it is" value={role} choices={ROLES} change={setRole} />
      </div>
      <p class="soft">Disks and CDs are read by ranges, as the guest wants them. The server has to allow this page.</p>
      <button type="submit">Add</button>
    </ActionForm>
  )
}

interface FieldsProps {
  readonly settings: Settings
  readonly change: (part: Partial<Settings>) => void
}

const MEMORY = ['64', '128', '256', '512', '1024', '2048', '3072']
const CPUS = ['1', '2', '4', '8']
const BOARD_NAMES = { pc: 'pc: i440FX', q35: 'q35: PCI Express', virt: 'virt: Arm, 64-bit' }
const CARD_NAMES = { auto: 'if firmware starts it', std: 'yes', none: 'no' }

/** A line about a model, or why there is no such processor. */
function aboutCpu(text: string): { readonly problem: string; readonly about: string } {
  try {
    const [name] = cpuModel(text === '' ? 'max' : text).name.split(',')
    return { problem: '', about: `${name}: ${CPU_MODELS.find((one) => one.name === name)!.about}.` }
  } catch (error) {
    return { problem: (error as Error).message, about: '' }
  }
}

/** The processor of a PC: a model of the list, and changes to it. */
function CpuField({ settings: { cpu }, change }: FieldsProps) {
  const { problem, about } = aboutCpu(cpu)
  return (
    <>
      <label class="wide">
        Processor model, and changes such as core2,-sse4_1
        <input
          type="text"
          name="cpu"
          list="cpu-models"
          placeholder="max"
          spellcheck={false}
          autocomplete="off"
          aria-describedby="cpu-about"
          aria-invalid={problem !== ''}
          ref={(input) => input?.setCustomValidity(problem)}
          value={cpu}
          onInput={(event) => change({ cpu: event.currentTarget.value })}
        />
      </label>
      <datalist id="cpu-models">
        {CPU_MODELS.map(({ name, about: line }) => (
          <option value={name} label={line} />
        ))}
      </datalist>
      <p id="cpu-about" class={problem === '' ? 'wide soft' : 'wide wrong'} role="status">
        {problem || about}
      </p>
    </>
  )
}

export function Fields({ settings, change }: FieldsProps) {
  const choice = <K extends 'memory' | 'cpus' | 'board' | 'vga' | 'network'>(
    label: string,
    key: K,
    values: readonly (readonly [value: string, name: string])[],
  ) => (
    <Choice
      label={label}
      name={key}
      value={settings[key]}
      choices={values}
      change={(value) => {
        const part = { [key]: value } as Partial<Settings>
        const { board } = part
        const commandLine = board !== undefined && { commandLine: commandLineFor(board, settings) }
        // An Arm board has a processor of its own.
        change({ ...part, ...commandLine, ...(board === 'virt' && { cpu: '' }) })
      }}
    />
  )
  /** A field for a part that the machine has or has not. */
  const either = (label: string, key: 'tablet' | 'sound' | 'files', no: readonly [string, string], yes: typeof no) => (
    <Choice
      label={label}
      name={key}
      value={(settings[key] ? yes : no)[0]}
      choices={[no, yes]}
      change={(value) => change({ [key]: value === yes[0] } as Partial<Settings>)}
    />
  )
  const withOwn = (values: readonly string[], own: string): readonly string[] =>
    values.includes(own) ? values : [...values, own]
  return (
    <>
      <div class="fields">
        {choice(
          'Memory',
          'memory',
          withOwn(MEMORY, settings.memory).map((value) => [value, `${value} MiB`]),
        )}
        {choice(
          'Processors',
          'cpus',
          withOwn(CPUS, settings.cpus).map((value) => [value, value]),
        )}
        {choice('Board', 'board', Object.entries(BOARD_NAMES))}
        {choice('Graphics card', 'vga', Object.entries(CARD_NAMES))}
        {either('Pointer', 'tablet', ['mouse', 'mouse'], ['tablet', 'USB tablet: where yours is'])}
        {either('Sound card', 'sound', ['none', 'no'], ['ac97', "AC '97"])}
        {either('Files of this page', 'files', ['none', 'not shared'], ['shared', 'shared with the guest (9P)'])}
        {choice('Network', 'network', [['off', 'no card'], ...NETWORKS])}
        {isRelay(settings.network) && (
          <RelayAddress kind={settings.network} value={settings.relay} change={(relay) => change({ relay })} />
        )}
        {settings.board !== 'virt' && <CpuField settings={settings} change={change} />}
        <TextField
          look="wide"
          label="Kernel's command line"
          value={settings.commandLine}
          change={(commandLine) => change({ commandLine })}
        />
      </div>
      {settings.network !== 'off' && <p class="soft">{NETWORK_NOTES[settings.network]}</p>}
    </>
  )
}
