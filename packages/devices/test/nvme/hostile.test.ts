import { slicedCount } from '@retrap/tooling/slice'
import { test } from 'vitest'
import { holds } from '../support/holds.ts'
import { hostileNvme, sameAfterSave } from '../support/nvme-case.ts'

test('whatever a guest does to NVMe: each command is answered once, no byte is moved while it is stopped', () =>
  holds(slicedCount(40, 4), (choose) => hostileNvme(choose, 80)))

test('a controller that was saved and restored elsewhere goes on as the first one does', () =>
  holds(slicedCount(40, 4), (choose) => sameAfterSave(choose, 20)))
