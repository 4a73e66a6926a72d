/** What the application is called in titles: in the portal, as the operator says. */

let name = $state("Waxwing");

export function siteName(): string {
  return name;
}

export function callSite(next: string): void {
  name = next;
}
