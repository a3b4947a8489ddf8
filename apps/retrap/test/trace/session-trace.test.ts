/** Files of traces that cannot be written to their end. */
import { existsSync } from 'node:fs'
import { createIoRequest, type IoTraceRecord } from '@retrap/ioreq'
import { expect, test } from 'vitest'
import type { SessionOutput } from '../../src/machine/session/session-host.ts'
import { SessionTrace } from '../../src/machine/trace/session-trace.ts'

const FULL = '/dev/full'

const RECORD: IoTraceRecord = {
  event: 'done',
  vcpu: 0,
  server: 'devices',
  device: 'uart0',
  request: createIoRequest(),
  lo: 0,
  hi: 0,
}

test.skipIf(!existsSync(FULL))('a full disk ends the trace, says so once, and disturbs no guest', () => {
  const said: string[] = []
  const stderr = { write: (text: string) => said.push(text) } as unknown as SessionOutput
  const trace = new SessionTrace([{ kind: 'ioreq' }], FULL, stderr)
  for (let i = 0; i < 1000; i++) trace.access!(RECORD)
  trace.end()
  expect(said).toEqual([
    'retrap: the trace ends here: cannot write /dev/full: ENOSPC: no space left on device, write\n',
  ])
})
