import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import './editor.css'
import { Alert } from '../controls.tsx'
import type { PanelProps } from '../tabs.tsx'
import { CompileError, Sandbox } from './sandbox.ts'
// oxlint-disable-next-line import/default -- the bundler gives the file's text
import example from './example-device.ts?raw'
import type { Report } from './report.ts'

const MOST_LINES = 200
/** Longest delay of a log line, to batch it with others. */
const LOG_MS = 50

/** An editor for devices, with their log. */
export function PlaygroundPanel({ machine, settle }: PanelProps) {
  const [code, setCode] = useState<string>(example)
  const [names, setNames] = useState<readonly string[]>([])
  const [log, setLog] = useState<readonly string[]>([])
  const [wrong, setWrong] = useState<{ readonly message: string; readonly line: number | null } | null>(null)
  const [isBusy, setBusy] = useState(false)
  const sandbox = useMemo(() => {
    const lines: string[] = []
    let timer: ReturnType<typeof setTimeout> | null = null
    // The output of a device that prints much is shown now and then.
    const show = (): void => {
      timer = null
      const more = lines.splice(0)
      setLog((before) => [...before, ...more].slice(-MOST_LINES))
    }
    const told = (report: Report): void => {
      if (report.kind === 'attached') setNames(report.names)
      else if (report.kind === 'error') setWrong(report)
      else {
        lines.push(report.text)
        if (lines.length > 2 * MOST_LINES) lines.splice(0, MOST_LINES)
        timer ??= setTimeout(show, LOG_MS)
      }
    }
    return new Sandbox(machine, told)
  }, [machine])
  useEffect(() => () => void sandbox.detach(), [sandbox])
  // A machine that is off has no attached devices.
  useEffect(() => machine.on('exit', () => setNames([])), [machine])
  const attempt = async (action: () => Promise<void>): Promise<void> => {
    setBusy(true)
    setWrong(null)
    try {
      await action()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      // A message of the device's own program has a line.
      setWrong((before) => before ?? { message, line: error instanceof CompileError ? error.line : null })
    }
    setBusy(false)
  }
  // A failed model is detached: the page shows an alert until devices are attached again.
  const out = (name: string): string => `device ${name} is taken out`
  useEffect(
    () => machine.on('warning', (text) => setNames((all) => all.filter((name) => !text.startsWith(out(name))))),
    [machine],
  )
  const attach = (): void => {
    settle('device ')
    setLog([])
    setNames([])
    void attempt(() => sandbox.attach(code))
  }
  const detach = (): void => {
    setNames([])
    void attempt(() => sandbox.detach())
  }
  return (
    <>
      <p class="soft">
        The device runs in a document of its own, which sees nothing of this page, and may take its time: an instruction
        of the guest's waits for it. What it exports is attached to the running machine.
      </p>
      <Editor code={code} change={setCode} wrongLine={wrong?.line ?? null} />
      <div class="actions">
        <button class="primary" disabled={isBusy} onClick={attach}>
          Attach
        </button>
        <button disabled={isBusy || names.length === 0} onClick={detach}>
          Detach
        </button>
        <button onClick={() => setCode(example)}>Example</button>
      </div>
      <p role="status">{names.length > 0 && `Attached: ${names.join(', ')}.`}</p>
      {wrong !== null && (
        <Alert>
          {wrong.line !== null && `Line ${wrong.line}: `}
          {wrong.message}
        </Alert>
      )}
      {log.length > 0 && (
        <pre class="log" role="log" aria-label="What the device says" tabIndex={0}>
          {log.join('\n')}
        </pre>
      )}
    </>
  )
}

interface EditorProps {
  readonly code: string
  readonly change: (code: string) => void
  readonly wrongLine: number | null
}

/** Text with the numbers of its lines. */
function Editor({ code, change, wrongLine }: EditorProps) {
  const numbers = useRef<HTMLDivElement>(null)
  const count = code.split('\n').length
  return (
    <div class="editor">
      <div class="numbers" ref={numbers} aria-hidden="true">
        {Array.from({ length: count }, (_, i) => (
          <div key={i} class={i + 1 === wrongLine ? 'at' : ''}>
            {i + 1}
          </div>
        ))}
      </div>
      <textarea
        aria-label="Code of the device, in TypeScript"
        aria-invalid={wrongLine !== null}
        spellcheck={false}
        autocomplete="off"
        wrap="off"
        rows={Math.min(count, 30)}
        value={code}
        onInput={(event) => change(event.currentTarget.value)}
        onScroll={(event) => {
          if (numbers.current !== null) numbers.current.scrollTop = event.currentTarget.scrollTop
        }}
      />
    </div>
  )
}
