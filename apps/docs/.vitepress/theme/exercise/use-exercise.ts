import type { Machine, MachineElement, RunPosition, TravelStop, VcpuView } from '@retrap/web'
import { computed, nextTick, onBeforeUnmount, onMounted, type Ref, ref, shallowRef } from 'vue'
import type { Checked } from './checks-worker.ts'
import type { CheckResult } from './checks.ts'
import type { Marks } from './editor.ts'
// oxlint-disable-next-line import/default -- the bundler gives the file's text
import original from './kernel.asm?raw'
import type { ExerciseKernel } from './kernel.ts'
import { keepProgress, NO_PROGRESS, type Progress, readProgress } from './progress.ts'

/** Between two looks at a machine that runs. */
const LOOK_MS = 500
/** The byte that is written over, and the bytes of memory that are shown up to it. */
const [VICTIM, SHOWN_BYTES] = ['lives', 9]

/** Ways through the recorded run, by their buttons. */
export const WAYS = {
  'Step back': (machine) => machine.debugger.stepBack(),
  'Step on': (machine) => machine.debugger.step(),
  'Back to the last stop': (machine) => machine.debugger.reverseContinue(),
  'On to the next stop': (machine) => machine.debugger.continue(),
  Now: (machine) => machine.debugger.now(),
} as const satisfies Readonly<Record<string, (machine: Machine) => Promise<TravelStop>>>

/** The registers that are shown, by their numbers. */
export const SHOWN_REGISTERS = [
  ['eax', 0],
  ['ecx', 1],
  ['esi', 6],
  ['edi', 7],
] as const

/** Where the machine is, as far as it is shown. */
interface Seen {
  readonly position: RunPosition
  readonly vcpu: VcpuView | undefined
  /** The bytes before the one that is written over, and it. */
  readonly memory: Uint8Array
}

/** The exercise of a page. */
export interface Exercise {
  readonly source: Ref<string>
  readonly progress: Ref<Progress>
  /** The kernel that was started last, and how many were before: each has a machine of its own. */
  readonly kernel: Ref<{ readonly address: string; readonly number: number } | null>
  readonly seen: Ref<Seen | null>
  readonly marks: Ref<Marks>
  readonly note: Ref<string>
  readonly wrong: Ref<Marks['wrong']>
  readonly isBusy: Ref<boolean>
  readonly results: Ref<readonly CheckResult[]>
  start(): Promise<void>
  ready(event: Event): void
  travel(name: keyof typeof WAYS): Promise<void>
  run(): Promise<void>
  toggle(line: number): Promise<void>
  whoWrote(): Promise<void>
  answer(line: number): void
  check(): Promise<void>
  putBack(): void
  forget(): void
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** An instruction without its comment. */
const instructionOf = (line: string | undefined): string => (line ?? '').replace(/;.*$/, '').trim()

/** Makes the exercise of a page. */
export function useExercise(): Exercise {
  const source = ref<string>(original)
  const progress = shallowRef<Progress>(NO_PROGRESS)
  const kernel = shallowRef<{ readonly address: string; readonly number: number } | null>(null)
  const seen = shallowRef<Seen | null>(null)
  const stops = shallowRef<ReadonlySet<number>>(new Set())
  const note = ref('')
  const wrong = shallowRef<Marks['wrong']>(null)
  const isBusy = ref(false)
  const results = shallowRef<readonly CheckResult[]>([])
  let assembled: ExerciseKernel | undefined
  /** The source of the kernel that was started last. */
  let started = ''
  let machine: Machine | undefined
  let worker: Worker | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const removals = new Map<number, () => Promise<void>>()

  const lineAt = (address: bigint | undefined): number =>
    [...(assembled?.lines ?? [])].find(([, at]) => at === address)?.[0] ?? 0
  const line = computed(() => lineAt(seen.value?.vcpu?.address))
  const marks = computed((): Marks => ({ stops: stops.value, next: line.value, wrong: wrong.value }))

  const keep = (part: Partial<Progress>): void => {
    progress.value = { ...progress.value, ...part }
    keepProgress(progress.value)
  }
  const attempt = async (action: () => Promise<void>): Promise<void> => {
    isBusy.value = true
    wrong.value = null
    try {
      await action()
    } catch (error) {
      const at = (error as { readonly line?: unknown }).line
      wrong.value = { text: messageOf(error), line: typeof at === 'number' ? at : 0 }
    }
    isBusy.value = false
  }
  /** The source as a kernel. @throws SourceError */
  const assemble = async (): Promise<ExerciseKernel> => {
    const { assembleKernel } = await import('./kernel.ts')
    keep({ source: source.value === original ? null : source.value })
    return assembleKernel(source.value)
  }
  const look = async (): Promise<void> => {
    if (machine === undefined) return
    const { debugger: debug } = machine
    const address = assembled!.symbols.get(VICTIM) ?? assembled!.symbols.get('main')!
    const place = { address: address - BigInt(SHOWN_BYTES - 1), length: SHOWN_BYTES }
    const [position, view, memory] = await Promise.all([debug.position(), machine.inspect(), debug.readMemory(place)])
    seen.value = { position, vcpu: view.architecture === 'x86' ? view.vcpus[0] : undefined, memory }
  }
  const again = async (): Promise<void> => {
    if (!isBusy.value) await look().catch(() => undefined)
    timer = setTimeout(() => void again(), LOOK_MS)
  }
  const placeStop = async (at: number): Promise<void> => {
    const address = assembled?.lines.get(at)
    if (address === undefined || machine === undefined) return
    removals.set(at, await machine.debugger.stopAt({ kind: 'breakpoint', address }))
  }

  onMounted(() => {
    progress.value = readProgress()
    source.value = progress.value.source ?? original
  })
  onBeforeUnmount(() => {
    clearTimeout(timer)
    worker?.terminate()
    if (kernel.value !== null) URL.revokeObjectURL(kernel.value.address)
  })

  return {
    ...{ source, progress, kernel, seen, marks, note, wrong, isBusy, results },
    start: () =>
      attempt(async () => {
        const made = await assemble()
        const { defineMachineElement } = await import('@retrap/web')
        defineMachineElement()
        clearTimeout(timer)
        if (kernel.value !== null) URL.revokeObjectURL(kernel.value.address)
        removals.clear()
        machine = undefined
        seen.value = null
        assembled = made
        started = source.value
        note.value = 'The machine starts, and is recorded.'
        const address = URL.createObjectURL(new Blob([made.bytes]))
        kernel.value = { address, number: (kernel.value?.number ?? 0) + 1 }
        await nextTick()
      }),
    ready(event) {
      const { machine: made } = event.target as MachineElement
      if (made === null) return
      machine = made
      made.on('position', ({ stop }) => {
        if (stop?.reason === 'breakpoint') note.value = `It stops before line ${lineAt(stop.address)}.`
        void look().catch(() => undefined)
      })
      void attempt(async () => {
        for (const at of stops.value) await placeStop(at)
      }).then(again)
    },
    travel: (name) =>
      attempt(async () => {
        if (machine === undefined) return
        const stop = await WAYS[name](machine)
        await look()
        const { isLive } = seen.value!.position
        const place = line.value === 0 ? 'in the part that is not shown' : `before line ${line.value}`
        const begin = stop.reason === 'begin' ? ' This is where the recording begins.' : ''
        note.value = `${isLive ? 'Now' : 'In the past'}, ${place}.${begin}`
      }),
    run: () =>
      attempt(async () => {
        note.value = 'It runs.'
        machine?.run().catch(() => {})
      }),
    toggle: (at) =>
      attempt(async () => {
        const next = new Set(stops.value)
        if (next.delete(at)) {
          await removals.get(at)?.()
          removals.delete(at)
        } else {
          next.add(at)
          await placeStop(at)
        }
        stops.value = next
        note.value = next.has(at) ? `Line ${at} has a breakpoint.` : `Line ${at} has no breakpoint now.`
      }),
    whoWrote: () =>
      attempt(async () => {
        const address = assembled?.symbols.get(VICTIM)
        if (machine === undefined || address === undefined) throw new Error(`start a kernel that has ${VICTIM}: first`)
        const writer = await machine.debugger.whoWrote({ address })
        if (writer.by !== 'instruction') {
          note.value = `No instruction has written ${VICTIM}: it has its first value.`
          return
        }
        await machine.debugger.goto(writer.instruction)
        await look()
        note.value = `Line ${lineAt(writer.address)} wrote it last: ${instructionOf(started.split('\n')[lineAt(writer.address) - 1])}. The machine is before that.`
      }),
    answer(at) {
      const isIt = instructionOf(source.value.split('\n')[at - 1]) === 'mov [ecx + name], al'
      if (isIt) keep({ isFound: true })
      note.value = isIt
        ? `Yes: line ${at} writes over ${VICTIM}. Now mend the source.`
        : `Line ${at} does not write to ${VICTIM}. Type a long name, and ask who wrote it.`
    },
    check: () =>
      attempt(async () => {
        const { bytes } = await assemble()
        worker?.terminate()
        worker = new Worker(new URL('./checks-worker.ts', import.meta.url), { type: 'module' })
        const { promise, resolve, reject } = Promise.withResolvers<Checked>()
        worker.addEventListener('message', ({ data }: MessageEvent<Checked>) => resolve(data))
        worker.addEventListener('error', ({ message }) => reject(new Error(message)))
        worker.postMessage(bytes)
        const checked = await promise
        worker.terminate()
        if ('error' in checked) throw new Error(checked.error)
        results.value = checked.results
        const passed = checked.results.filter(({ failure }) => failure === null).map(({ name }) => name)
        keep({ passed: [...new Set([...progress.value.passed, ...passed])] })
        const count = `${passed.length} of ${checked.results.length} checks have passed.`
        note.value = passed.length === checked.results.length ? `${count} The kernel is mended.` : count
      }),
    putBack() {
      source.value = original
      results.value = []
      keep({ source: null })
      note.value = 'The source is as it came. Your progress is kept.'
    },
    forget() {
      source.value = original
      results.value = []
      progress.value = NO_PROGRESS
      keepProgress(NO_PROGRESS)
      note.value = 'Your progress is forgotten.'
    },
  }
}
