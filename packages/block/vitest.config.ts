import { inTurn, together } from '@retrap/tooling/vitest'

// These files start other processes.
export default inTurn(together, 2, 'qcow2/qemu', 'qcow2/checker', 'qcow2/kills', 'locks')
