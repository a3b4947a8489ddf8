import { useEffect, useState } from 'preact/hooks'
import type { ClusterPage } from './cluster/page.tsx'
import { Alert, showPage, SitePage } from './controls.tsx'
import { messageOf } from './machine-life.ts'
import { MachinePage } from './machine-page.tsx'
import { dropOrphans, goOnFrom, SAVED_HASH } from './saved-machines.ts'
import { keepSite } from './offline.ts'
import { type Chosen, openedBy } from './settings.ts'
import { StartPage } from './start-page.tsx'

function App() {
  const [chosen, choose] = useState<Chosen | null>(() => openedBy(location.href))
  const [error, setError] = useState('')
  const [Lanes, setLanes] = useState<typeof ClusterPage | null>(null)
  const fail = (thrown: unknown): void => {
    choose(null)
    setError(messageOf(thrown))
  }
  useEffect(() => {
    if (!location.hash.startsWith(SAVED_HASH)) return
    const id = location.hash.slice(SAVED_HASH.length)
    history.replaceState(null, '', location.pathname)
    goOnFrom(id).then(choose, fail)
  }, [])
  useEffect(() => {
    if (chosen?.cluster !== undefined && Lanes === null)
      import('./cluster/page.tsx').then((part) => setLanes(() => part.ClusterPage), fail)
  }, [chosen])
  const close = (): void => {
    choose(null)
    // The page returns to its own history entry, so that a reload there shows the start page, too.
    const leave = (): void => history.replaceState(null, '', location.pathname)
    if (openedBy(location.href) !== null) addEventListener('popstate', leave, { once: true })
  }
  const show = (machine: Chosen, back: () => void) => <MachinePage chosen={machine} close={back} />
  if (chosen?.cluster !== undefined) return Lanes && <Lanes chosen={chosen} close={close} show={show} />
  if (chosen !== null) return <MachinePage chosen={chosen} close={close} />
  return (
    <SitePage brand={<span class="brand">retrap</span>}>
      {error !== '' && <Alert>{error}</Alert>}
      <StartPage start={choose} />
    </SitePage>
  )
}

showPage(<App />)
void keepSite()
void dropOrphans()
